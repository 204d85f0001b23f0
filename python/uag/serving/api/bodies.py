"""Reading a request's body: limited while it is read, and strict JSON."""

import json
import math
from typing import Any, NoReturn, cast

from starlette.requests import Request

from uag.serving.failures import Failure
from uag.values import is_text, shown, texts_in

# How much of a body that is too large is still read: a client that is writing reads no answer.
DRAINED = 16
DEEPEST = 100


async def read_body(request: Request, most: int) -> dict[str, Any]:
    """The object that a request's body has.

    Raises:
        Failure: 400 for what is no such object, 413 for more than `most` bytes, 415 for another
            type.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json" and not kind.lower().endswith("+json"):
        raise Failure(
            f"the body's type is {shown(kind)}; send JSON, as content-type: application/json",
            status=415,
        )
    return parsed(await _bytes(request, most))


async def _bytes(request: Request, most: int) -> bytes:
    data, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            data.append(chunk)
        elif size > DRAINED * most:
            break
    if size > most:
        raise Failure(f"the body has more than {most:,} bytes, which is the limit", status=413)
    return b"".join(data)


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object, without what JSON does not have or clients do not mean.

    >>> parsed(b'{"n": 2}')
    {'n': 2}
    >>> parsed(b'{"n": 2, "n": 3}')
    Traceback (most recent call last):
    uag.serving.failures.Failure: the body is no JSON object: 'n' is there twice

    Raises:
        Failure: 400, for anything else; for NaN, infinities, a key that is there twice, lone
            surrogates, and what is nested too deeply.
    """
    try:
        body: Any = json.loads(
            data.decode(),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_once,
        )
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise _malformed(f"it is no UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise _malformed(str(error)) from error
    if not isinstance(body, dict):
        raise _malformed(f"it is {shown(cast('object', body))}")
    found = cast("dict[str, Any]", body)
    if _depth(found) > DEEPEST:
        raise _malformed(f"it is nested more than {DEEPEST} deep")
    if not all(map(is_text, texts_in(found))):
        raise _malformed("it has a lone surrogate (half of a character in UTF-16)")
    return found


def _malformed(reason: str) -> Failure:
    return Failure(f"the body is no JSON object: {reason}", code="invalid_json")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it has {name}, which is no number of JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"it has the number {shown(text)}, which is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} is there twice")
    return body


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level := [each for each in level if _is_nested(each)]:
        depth += 1
        level = [inner for each in level for inner in _inner(each)]
    return depth


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def _inner(value: Any) -> list[object]:
    return [*(value.values() if hasattr(value, "values") else value)]
