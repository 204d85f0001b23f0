"""The endpoints that generate: /v1/completions and /v1/chat/completions."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from uag.errors import OptionError, PromptError
from uag.serving.api.bodies import read_body
from uag.serving.api.metrics import Metrics
from uag.serving.api.pieces import ClientLeft, Pieces
from uag.serving.api.settings import Settings
from uag.serving.failures import Failure, failure_of, too_long
from uag.serving.protocol.answers import Answer, Form, Part, Text
from uag.serving.protocol.asked import Asked
from uag.serving.protocol.served import Served
from uag.serving.protocol.usage import Usage
from uag.serving.reply import Ended, Reply

Reader = Callable[[Mapping[str, Any], Served, int | None], Asked]
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would wait for more
}
# Seconds for a client to read an error.
LAST_WORDS = 1.0
PING = b": ping\n\n"


@dataclass(frozen=True, slots=True)
class Generation:
    """An endpoint that continues prompts.

    Attributes:
        engine: decodes.
        served, settings, metrics: of the server.
        reader: reads a body.
        form: makes the form of the answer.
    """

    engine: Any
    served: Served
    settings: Settings
    metrics: Metrics
    reader: Reader
    form: Callable[[Served, Asked, Usage], Form] = Answer

    async def answer(self, request: Request) -> Response:
        """Answer a request: at once in JSON, or as a stream of events."""
        began = perf_counter()
        async with asyncio.timeout(self.settings.timeout):
            body = await read_body(request, self.settings.most_bytes)
            asked = self.reader(body, self.served, self.settings.most_tokens)
            options = await self._options(asked)
        submitted = self._submit(asked, options, request)
        watch = _Watch(self.metrics, began)
        left = self.settings.timeout - (perf_counter() - began)
        pieces = Pieces(submitted, request.receive, left)
        try:
            await pieces.read()
            run = self._started(asked, options, submitted, pieces, watch)
            if asked.stream:
                events = run.events(self.settings.ping)
                return EventStream(
                    await anext(events), events, pieces, run.form, self.metrics.cancelled.inc
                )
            whole = await run.whole()
        except ClientLeft:
            pieces.close()
            self.metrics.cancelled.inc()
            return Response(status_code=499)  # nobody reads it
        except BaseException as error:
            pieces.close()
            if isinstance(error, Exception):
                raise failure_of(error, _field(asked, error)) from error
            raise
        pieces.close()
        return JSONResponse(whole)

    async def _options(self, asked: Asked) -> "list[_Options]":
        """The options for each prompt; in a thread where they take a while."""
        if asked.sampling.schema is None and not self._counts(asked):
            return self._prepared(asked)
        try:
            return await asyncio.to_thread(self._prepared, asked)
        except PromptError as error:
            raise failure_of(error, asked.field) from error
        except OptionError as error:
            raise Failure(str(error), param="response_format") from error

    def _prepared(self, asked: Asked) -> "list[_Options]":
        made: list[_Options] = []
        for prompt in asked.prompts:
            record = asked.sampling.new_record()
            options = asked.sampling.with_processors(self.served.grammars, record)
            if self._counts(asked):
                room = self.served.room_after(prompt)
                options["max_new_tokens"] = min(options["max_new_tokens"], room)
            made.append(_Options(options, record))
        return made

    def _counts(self, asked: Asked) -> bool:
        """Whether a text has two limits, of the server and of the window."""
        limit, most = asked.sampling.limit, self.settings.most_tokens
        return limit is None and most is not None and self.served.window is not None

    def _submit(self, asked: Asked, options: "list[_Options]", request: Request) -> list[Reply]:
        """Take the places of all texts, before anything is awaited."""
        count, most = asked.sampling.count, self.settings.most_texts
        if most is not None and count * len(options) > most:
            raise Failure(
                f"the request has {count * len(options)} texts, but this server holds {most} at "
                "most; send fewer at a time",
                param="n" if len(options) == 1 else asked.field,
            )
        key = request.scope.get("uag.key", "") + asked.salt
        replies: list[Reply] = []
        try:
            for prompt, own in zip(asked.prompts, options, strict=True):
                replies.append(
                    self.engine.submit(
                        prompt,
                        own.options,
                        count=count,
                        seed=asked.sampling.seed,
                        owner=sha256(key.encode()).hexdigest() if key else "",
                    )
                )
        except BaseException:
            for reply in replies:
                reply.cancel()
            raise
        return replies

    def _started(
        self,
        asked: Asked,
        options: "list[_Options]",
        replies: list[Reply],
        pieces: Pieces,
        watch: "_Watch",
    ) -> "_Run":
        usage = Usage(prompt=sum(len(reply.prompt_ids) for reply in replies))
        texts: list[Text] = []
        for reply, own in zip(replies, options, strict=True):
            self._check_window(asked, len(reply.prompt_ids))
            texts += [
                Text(self.served, asked, reply.prompt_ids, own.record)
                for _ in range(asked.sampling.count)
            ]
        return _Run(self.form(self.served, asked, usage), texts, pieces, watch)

    def _check_window(self, asked: Asked, ids: int) -> None:
        window = self.served.window
        name, new = asked.sampling.limit or (asked.field, 1)
        if window is not None and ids + new > window:
            raise too_long(ids, new, window, name)


@dataclass(frozen=True, slots=True)
class _Options:
    """The decoder's options for one prompt, and where its log-probabilities are kept."""

    options: dict[str, Any]
    record: Any


@dataclass(frozen=True, slots=True)
class _Run:
    """A request whose texts are being decoded."""

    form: Form
    texts: list[Text]
    pieces: Pieces
    watch: "_Watch"

    async def whole(self) -> dict[str, Any]:
        """The answer when all texts have ended."""
        parts = [Part() for _ in self.texts]
        async with aclosing(self._parts(seconds=float("inf"))) as coming:
            async for number, part in coming:
                if part is not None:
                    parts[number] += part
        return self.form.whole(parts)

    async def events(self, ping: float) -> AsyncGenerator[bytes]:
        """The answer as server-sent events."""
        waiting = [Part() for _ in self.texts]
        opening = self.form.began()
        async with aclosing(self._parts(seconds=ping)) as coming:
            async for number, part in coming:
                for event in opening:  # with the first news: what fails before is no stream
                    yield event
                if part is None:
                    yield PING
                    continue
                # What says nothing yet is sent with what comes next.
                waiting[number] += part
                if waiting[number].tells:
                    for event in self.form.news(number, waiting[number]):
                        yield event
                    waiting[number] = Part()
        for event in self.form.ended():
            yield event

    async def _parts(self, seconds: float) -> AsyncGenerator[tuple[int, Part | None]]:
        """What is new, with the number of the text; `None` after `seconds` without news."""
        count = self.form.asked.sampling.count
        try:
            while True:
                try:
                    taken = await self.pieces.next(seconds)
                except StopAsyncIteration:
                    break
                if taken is None:
                    yield 0, None
                    continue
                reply, piece = taken
                number = reply * count + piece.index
                self.form.usage.add(piece.rounds)
                self.watch.saw(sum(len(done.tokens) for done in piece.rounds))
                text = self.texts[number]
                if isinstance(piece, Ended) and piece.index == 0:  # the prompt's first reader
                    self.form.usage.cached += piece.output.stats.cached_tokens
                yield number, text.end(piece) if isinstance(piece, Ended) else text.add(piece)
        finally:
            self.watch.ended(self.form.usage)


def _field(asked: Asked, error: Exception) -> str:
    """The field that is to blame for a prompt, or an option, that does not fit."""
    limit = asked.sampling.limit
    return limit[0] if limit and isinstance(error, OptionError) else asked.field


class _Watch:
    """Measures one request."""

    def __init__(self, metrics: Metrics, began: float) -> None:
        self._metrics = metrics
        self._began = began
        self._last: float | None = None

    def saw(self, tokens: int) -> None:
        """Some tokens have come."""
        now = perf_counter()
        if self._last is None:
            self._metrics.first.observe(now - self._began)
        elif tokens:
            self._metrics.between.observe((now - self._last) / tokens)
        self._last = now

    def ended(self, usage: Usage) -> None:
        """The request has ended, whole or not."""
        self._metrics.count(usage)
        self._metrics.whole.observe(perf_counter() - self._began)


class EventStream(Response):
    """A stream of server-sent events, which ends early if the client leaves."""

    def __init__(
        self,
        first: bytes,
        events: AsyncGenerator[bytes],
        pieces: Pieces,
        form: Form,
        left: Callable[[], None],
    ) -> None:
        super().__init__(headers=STREAM_HEADERS)
        self._first = first
        self._events = events
        self._pieces = pieces
        self._form = form
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send(send, self._first)
            await self._rest(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._pieces.close()
            await self._events.aclose()

    async def _rest(self, send: Send) -> None:
        try:
            async for event in self._events:
                await self._send(send, event)
        except ClientLeft:
            self._left()
        except Exception as error:  # noqa: BLE001 # the answer has begun: it is an event
            await self._send(send, self._form.failed(failure_of(error)))

    async def _send(self, send: Send, event: bytes) -> None:
        """Send an event; a client that reads nothing is waited for as long as for its texts."""
        async with asyncio.timeout(max(LAST_WORDS, self._pieces.rest())):
            await send({"type": "http.response.body", "body": event, "more_body": True})
