"""What holds for every request: its id, the key, and that each failure is an answer in JSON."""

import hmac
import logging
import re
from collections.abc import Iterable
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uag.serving.api.metrics import Metrics
from uag.serving.failures import Failure, failure_of

LOG = logging.getLogger("uag.serving")
ANTHROPIC = "/v1/messages"  # its clients expect the type of an error outside too
PORT = re.compile(r":\d+$")
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Front:
    """Stands before all endpoints.

    Args:
        app: the endpoints.
        keys, hosts: see `Settings`.
        public: paths that need no key.
        paths: those that are counted by name.
        metrics: of the server.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Iterable[str],
        hosts: Iterable[str],
        public: Iterable[str],
        paths: Iterable[str],
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._hosts = {*hosts}
        self._public = {*public}
        self._paths = {*paths}
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        status: int = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = id
            await send(message)

        try:
            self._check_host(headers)
            self._check_key(scope, headers)
            await self._app(scope, receive, send_named)
        except Exception as error:
            failure = failure_of(error)
            if status:  # the answer has begun, so it can only end early
                LOG.warning("an answer ended early: %s", error)
                raise
            if scope["path"].startswith(ANTHROPIC):
                failure.body["type"] = "error"
            await answer_of(failure)(scope, receive, send_named)
        finally:
            if status:  # else the client has left
                path = scope["path"] if scope["path"] in self._paths else "other"
                self._metrics.answered(path, status)

    def _check_host(self, headers: Headers) -> None:
        name = PORT.sub("", headers.get("host", "")).strip("[]").lower()
        if self._hosts and name not in self._hosts:
            names = " or ".join(sorted(self._hosts))
            raise Failure(f"this server is not called {name!r}; call it by {names}", status=421)

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        scope["uag.key"] = ""
        if not self._keys or scope["path"] in self._public:
            return
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        data = given.encode("latin-1", "replace")
        right = [hmac.compare_digest(data, key) for key in self._keys]  # each in constant time
        if not any(right):
            raise Failure(
                "the key is missing or wrong; send it as Authorization: Bearer KEY",
                status=401,
                type="authentication_error",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope["uag.key"] = given


def answer_of(failure: Failure) -> JSONResponse:
    """A failure as an answer."""
    return JSONResponse(failure.body, failure.status, failure.headers)


async def not_found(request: Request, error: Exception) -> Response:
    """The answer where no endpoint is, or none for the method."""
    assert isinstance(error, HTTPException)  # noqa: S101 # as it was registered
    path = request.url.path
    text = f"there is no {path}" if error.status_code == 404 else error.detail  # noqa: PLR2004
    if error.status_code == 405:  # noqa: PLR2004 # of HTTP
        text = f"{request.method} is not possible for {path}"
    failure = Failure(text, status=error.status_code, headers=dict(error.headers or {}))
    return answer_of(failure)
