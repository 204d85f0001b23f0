"""What a request gives back: its texts, piece by piece, for the event loop that asked."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, Self

from uag.decoding.output import Output
from uag.stats import Round


@dataclass(frozen=True, slots=True)
class Piece:
    """New text.

    Attributes:
        index: which of the request's texts it continues.
        text: whole characters, without special tokens.
        rounds: the rounds since the last piece.
    """

    index: int
    text: str
    rounds: list[Round] = field(default_factory=list[Round])


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one of the request's texts.

    Attributes:
        index: which text.
        output: all of it.
        rounds: the rounds since the last piece.
    """

    index: int
    output: Output
    rounds: list[Round] = field(default_factory=list[Round])


Event = Piece | Ended
P = ParamSpec("P")


class Reply(AsyncIterator[Event]):
    """One request's texts, as they are decoded: pieces, and an `Ended` for each text.

    Pieces that wait for a slow reader are joined, so that a text that nobody reads takes no more
    memory than the text. The engine's thread puts events in; the event loop takes them out.

    Attributes:
        count: number of texts.
        prompt_ids: the prompt in ids of the target, once it has been read.
        cancelled: whether nobody wants the rest.
    """

    def __init__(self, count: int, cancel: Callable[[Self], None]) -> None:
        """Begin to wait, in a running event loop. `cancel` frees the places of the reply."""
        self.count = count
        self.prompt_ids: list[int] = []
        self.cancelled = False
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._prompt: asyncio.Future[list[int]] = self._loop.create_future()
        self._events: deque[Event] = deque()
        self._left = count
        self._error: BaseException | None = None
        self._news = asyncio.Event()

    async def read(self) -> None:
        """Wait until prompt and options are read.

        Raises:
            PromptError, OptionError: what is wrong with them.
            DoesNotFitError: for a text that can never fit into the memory.
            ClosedError: if the engine has been closed.
        """
        self.prompt_ids = await asyncio.shield(self._prompt)

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            ClosedError: if the engine has been closed.
            Exception: that ended one of the texts; the others end with it.
        """
        while not self._events:
            if self._error is not None:
                raise self._error
            if not self._left:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        self._left -= isinstance(event, Ended)
        return event

    def cancel(self) -> None:
        """End all texts at the next forward pass; without an effect if they have ended."""
        if not self.cancelled:
            self.cancelled = True
            self._cancel(self)

    # What follows is called by the engine, from any thread.

    def has_read(self, prompt: Future[list[int]]) -> None:
        """Tell the ids of the prompt, or what is wrong with it."""
        self._tell(self._read, prompt)

    def put(self, event: Event) -> None:
        """Tell an event."""
        self._tell(self._put, event)

    def fail(self, error: BaseException) -> None:
        """Tell what ended the texts."""
        self._tell(self._fail, error)

    def _tell(self, call: Callable[P, None], *given: P.args, **named: P.kwargs) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(partial(call, *given, **named))

    def _read(self, prompt: Future[list[int]]) -> None:
        if self._prompt.done():
            return
        if (error := prompt.exception()) is None:
            self._prompt.set_result(prompt.result())
        else:
            self._fail(error)

    def _put(self, event: Event) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(event, Piece) and isinstance(last, Piece) and last.index == event.index:
            self._events[-1] = replace(
                last, text=last.text + event.text, rounds=[*last.rounds, *event.rounds]
            )
        else:
            self._events.append(event)
        self._news.set()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        if not self._prompt.done():
            self._prompt.set_exception(error)
            self._prompt.exception()  # told by `read`, which nobody may call
        self._news.set()
