"""Logits processors and stopping criteria that belong to one text each.

A processor may keep state: its place in a grammar, counts, a random state. Texts take turns, so a
shared object would mix their states. The only text of a call uses the caller's own objects, as in
transformers. Each of several texts has copies. So has a text that begins while another one, of an
earlier call that has not ended, uses the caller's objects.
"""

import copy
import gc
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    GeneratorType,
    ModuleType,
)
from typing import Any, Self, TypeVar, cast
from weakref import WeakValueDictionary

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    PrefixConstrainedLogitsProcessor,
    PreTrainedTokenizerBase,
    StopStringCriteria,
)

from uag.decoding.stop_strings import StopStrings
from uag.decoding.verify import BY_ROW
from uag.errors import OptionError

T = TypeVar("T")
# Options that hold objects which may keep state, and what these are.
REMEMBERING = {"logits_processor": "processors", "stopping_criteria": "criteria"}
PREFIX = "prefix_allowed_tokens_fn"
# Criteria without state: they only look at the last ids or at the time, or `Stop` replaces them.
BLIND = (StopStrings, StopStringCriteria, MaxTimeCriteria, MaxLengthCriteria, EosTokenCriteria)
# Exactly these classes are shared by all texts. The last one's function is told the row.
STATELESS = (*BY_ROW, *BLIND, PrefixConstrainedLogitsProcessor)
# Large objects that decoding does not change: copies share them.
SHARED = (torch.nn.Module, PreTrainedTokenizerBase, Tokenizer)
# What `deepcopy` does not look into, or cannot copy.
CLOSED = (
    *(type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType, GeneratorType),
    *(str, bytes, int, float, Tensor),
)

# How many objects, or thousands of numbers in tensors, a text copies on the chance that another one
# begins before it ends: some milliseconds.
CHEAP = 10_000


class Claim:
    """The caller's objects that one text uses, until it is released or dropped.

    Another text that begins before that gets copies of the objects as they were at first. A block
    under `with` releases them if it fails.
    """

    def __init__(self, objects: Iterable[object]) -> None:
        """Claim those of the objects that may remember something."""
        self._objects = [each for each in objects if type(each) not in STATELESS]
        try:
            self._unused: list[object] | str = _copies(self._objects, CHEAP)
        except OptionError as error:
            self._unused = str(error)  # the error itself would hold this claim
        _CLAIMS.update({id(each): self for each in self._objects})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self.release()

    def release(self) -> None:
        """Let other texts use the objects."""
        for each in self._objects:
            if _CLAIMS.get(id(each)) is self:
                del _CLAIMS[id(each)]

    def unused(self, claimed: object) -> object:
        """A claimed object as it was before the text began.

        Raises:
            OptionError: if it could not be copied then, or is large.
        """
        if isinstance(self._unused, str):
            raise OptionError(self._unused)
        places = (at for at, each in enumerate(self._objects) if each is claimed)
        return self._unused[next(places)]


# The objects in use, by object id: a claim keeps its objects.
_CLAIMS: WeakValueDictionary[int, Claim] = WeakValueDictionary()
_CLAIMING = RLock()


def for_text(options: dict[str, Any], row: int, rows: int) -> tuple[dict[str, Any], Claim]:
    """The options for one of `rows` texts: processors and criteria of its own, and its claim.

    `prefix_allowed_tokens_fn` is shared, and is told the row as in transformers.

    Raises:
        OptionError: for a processor or criterion that would have to be copied and cannot be, and
            for what is none.
    """
    if (function := options.get(PREFIX)) is not None:
        options = options | {PREFIX: at_row(function, row)}
    objects, claim = own_objects(_remembering(options), rows)
    own = iter(objects)
    lists = {
        name: type(options[name])([next(own) for _ in options[name]])
        for name in REMEMBERING
        if options.get(name) is not None
    }
    return options | lists, claim


def _remembering(options: dict[str, Any]) -> list[object]:
    found: list[object] = []
    for name, kind in REMEMBERING.items():
        given = options.get(name)
        several = cast("Sequence[object]", () if given is None else given)
        if not isinstance(given, list | tuple | None) or not all(map(callable, several)):
            raise OptionError(f"{name}={given!r}: it must be a list of transformers' {kind}")
        found += several
    return found


def at_row(allowed: object, row: int) -> Callable[[int, Tensor], Any]:
    """A `prefix_allowed_tokens_fn` that is told the given row.

    Raises:
        OptionError: for what cannot be called.
    """
    if not callable(allowed):
        raise OptionError(f"{PREFIX}={allowed!r}: it must be a function of a row and its ids")
    return lambda _, ids: allowed(row, ids)


def own_objects(objects: Sequence[T], rows: int) -> tuple[list[T], Claim]:
    """The objects that one of `rows` texts uses: copies, or the objects, claimed, if they are free.

    The objects are copied together: what several of them refer to, their copies share as well.
    Copies share models and tokenizers with the originals.

    Raises:
        OptionError: for an object that would have to be copied and cannot be.
    """
    with _CLAIMING:  # threads may begin texts at the same time
        claims = [_CLAIMS.get(id(each)) for each in objects]
        if rows == 1 and not any(claims):
            return [*objects], Claim(objects)
    first = [
        each if claim is None else cast("T", claim.unused(each))
        for each, claim in zip(objects, claims, strict=True)
    ]
    return _copies(first), Claim(())  # copies are nobody else's


def _copies(originals: list[T], most: int | None = None) -> list[T]:
    memo = _shared(originals, most)
    return [_copy(each, memo) for each in originals]


def _copy(original: T, memo: dict[int, Any]) -> T:
    try:
        return copy.deepcopy(original, memo)
    except Exception as error:  # a user's class may raise anything
        kind = type(original).__name__
        raise OptionError(
            f"{kind} cannot be copied ({type(error).__name__}: {error}), but each text that has "
            "not ended needs one of its own, as it may remember what it has read; give one prompt "
            f"at a time and make a new {kind} for each, or give {kind} a __deepcopy__"
        ) from error


def _shared(originals: Iterable[object], most: int | None) -> dict[int, Any]:
    """A memo for `deepcopy`, by object id, of all that it would reach and must not copy.

    Raises:
        OptionError: if it would reach more than `most` objects or thousands of numbers.
    """
    memo, seen, reached, size = dict[int, Any](), set[int](), [*originals], 0
    kinds = ", ".join(type(each).__name__ for each in reached)
    while reached:
        each = reached.pop()
        kind = type(each)
        size += 1 + (each.numel() // 1000 if isinstance(each, Tensor) else 0)
        if most is not None and size > most:
            raise OptionError(
                f"{kinds}: in use by a text that has not ended, and too large to copy whenever a "
                "text begins; finish that text first, or make a new object for each"
            )
        if issubclass(kind, SHARED) or kind in STATELESS:
            memo[id(each)] = each
        elif id(each) not in seen and not issubclass(kind, CLOSED):
            seen.add(id(each))
            reached += gc.get_referents(each)
    return memo
