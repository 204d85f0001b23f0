"""What a client is told when something fails: a status and the shape that OpenAI's clients read."""

import logging
import math
import re
from http import HTTPStatus
from typing import Any

from uag.errors import OptionError, PromptError, UagError
from uag.serving.errors import ClosedError, DoesNotFitError, OverloadedError

LOG = logging.getLogger("uag.serving")
INVALID = "invalid_request_error"
TOO_LONG = "context_length_exceeded"
# How the error of a prompt that outgrows the window is worded.
LONG_PROMPT = re.compile(r"the prompt has \d+ ids, but the target's window")
OUTGROWN = re.compile(r"the prompt and max_new_tokens come to (\d+) ids.*texts of up to (\d+)")
# How the decoder words it if its length was limited to the window.
NO_ROOM = re.compile(r"max_length=(\d+) leaves no room after a prompt of (\d+) ids")
# The most characters of an error's message: a client's own values may be in it.
SHOWN = 2000


class Failure(Exception):  # noqa: N818 # it is an answer
    """An answer in place of a text.

    >>> Failure("n=0 is not possible", param="n").body
    {'error': {'message': 'n=0 is not possible', 'type': 'invalid_request_error', 'param': 'n', \
'code': None}}

    Attributes:
        status: of HTTP.
        headers: further ones.
        body: what is sent as JSON.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
        type: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = int(status)
        self.headers = headers or {}
        told = message.encode("utf-8", "replace").decode()[:SHOWN]
        self.body: dict[str, Any] = {
            "error": {"message": told, "type": type, "param": param, "code": code}
        }


def failure_of(error: Exception, param: str | None = None) -> Failure:  # noqa: PLR0911 # a table
    """What a client is told of an error; `param` names the field that a prompt came in.

    >>> failure_of(OverloadedError("full", retry_after=1.2)).headers
    {'Retry-After': '2'}
    """
    text = str(error)
    match error:
        case Failure():
            return error
        case OverloadedError():
            return Failure(
                text,
                status=HTTPStatus.TOO_MANY_REQUESTS,
                type="rate_limit_error",
                code="overloaded",
                headers={"Retry-After": str(max(1, math.ceil(error.retry_after)))},
            )
        case ClosedError():
            return unavailable(text)
        case DoesNotFitError():
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return Failure(text, status=status, param=param, code="does_not_fit")
        case PromptError():
            return Failure(text, param=param, code=TOO_LONG if LONG_PROMPT.match(text) else None)
        case OptionError():
            return _of_option(text, param)
        case TimeoutError():
            return timed_out()
        case UagError():
            return Failure(text, status=HTTPStatus.INTERNAL_SERVER_ERROR, type="server_error")
        case _:
            LOG.error("a request failed", exc_info=error)
            return Failure(
                f"{type(error).__name__} in the server: its log says where; other requests go on",
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
                type="server_error",
            )


def _of_option(text: str, param: str | None) -> Failure:
    if found := OUTGROWN.match(text):
        return Failure(
            f"the prompt and the new tokens come to {found[1]} ids, but the window is {found[2]}; "
            "shorten the prompt or ask for fewer",
            param=param,
            code=TOO_LONG,
        )
    if (found := NO_ROOM.match(text)) is None:
        return Failure(text)
    return Failure(
        f"the prompt has {found[2]} ids, but the window is {found[1]} and must hold new ids too; "
        "shorten it",
        param=param,
        code=TOO_LONG,
    )


def unavailable(message: str) -> Failure:
    """The server is loading, stopping, or its engine has died."""
    return Failure(
        message,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        type="unavailable_error",
        code="unavailable",
        headers={"Retry-After": "5"},
    )


def timed_out() -> Failure:
    """The time for a request is up."""
    return Failure(
        "the request took longer than --timeout allows; ask for fewer tokens, or try later",
        status=HTTPStatus.GATEWAY_TIMEOUT,
        type="timeout_error",
        code="timeout",
    )


def too_long(ids: int, new: int, window: int, param: str) -> Failure:
    """The prompt and the new tokens that are asked for by `param` outgrow the window."""
    return Failure(
        f"the prompt has {ids} ids, and {new} new ones do not fit into the window of {window}; "
        "shorten the prompt or ask for fewer",
        param=param,
        code=TOO_LONG,
    )
