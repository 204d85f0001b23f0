"""Pieces of several replies as they come, until the client has left or the time is up."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive

from uag.serving.reply import Ended, Piece, Reply


class ClientLeft(Exception):  # noqa: N818 # it is no error
    """The client has closed the connection."""


class Pieces:
    """The pieces of some replies, in the order in which they come.

    While a piece waits to be taken, the reply that it came from is not read further: a client that
    reads slowly is noticed by the engine.

    Args:
        replies: of one request.
        receive: tells when the client has left.
        seconds: for all of it.
    """

    def __init__(self, replies: Sequence[Reply], receive: Receive, seconds: float) -> None:
        self._replies = replies
        self._queue: asyncio.Queue[tuple[int, Piece | Ended] | Exception | None]
        self._queue = asyncio.Queue(1)
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._left = asyncio.ensure_future(_until_left(receive))
        self._tasks: list[asyncio.Future[Any]] = []
        self._running = len(replies)
        self._next: asyncio.Future[Any] | None = None

    async def read(self) -> None:
        """Wait until all prompts and options are read and checked.

        Raises:
            ClientLeft: if the client does not wait for that.
            TimeoutError: if the time is up.
            UagError: what is wrong with them.
        """
        reading = asyncio.gather(*(reply.read() for reply in self._replies))
        self._tasks.append(reading)
        await self._first(reading, self.rest())
        if not reading.done():
            raise TimeoutError
        await reading
        self._tasks += [
            asyncio.ensure_future(self._pump(number, reply))
            for number, reply in enumerate(self._replies)
        ]

    async def next(self, seconds: float) -> tuple[int, Piece | Ended] | None:
        """The next piece, with the number of its reply; `None` if `seconds` pass without one.

        Raises:
            StopAsyncIteration: after the last piece.
            ClientLeft: if the client does not wait for it.
            TimeoutError: if the time is up.
            UagError: why a text has ended.
        """
        while self._running:
            if self._next is None:
                self._next = asyncio.ensure_future(self._queue.get())
            await self._first(self._next, min(seconds, self.rest()))
            if not self._next.done():
                if self.rest() <= 0:
                    raise TimeoutError
                return None
            taken, self._next = self._next.result(), None
            if isinstance(taken, Exception):
                raise taken
            if taken is not None:
                return taken
            self._running -= 1
        raise StopAsyncIteration

    def close(self) -> None:
        """Cancel what has not ended; to be called in any case."""
        for reply in self._replies:
            reply.cancel()
        for task in (self._left, self._next, *self._tasks):
            if task is not None:
                task.cancel()

    async def _pump(self, number: int, reply: Reply) -> None:
        try:
            async for piece in reply:
                await self._queue.put((number, piece))
        except Exception as error:  # noqa: BLE001 # whoever takes pieces gets it
            await self._queue.put(error)
        else:
            await self._queue.put(None)

    async def _first(self, awaited: "asyncio.Future[Any]", seconds: float) -> None:
        """Wait for it, for the client to leave, or for some seconds."""
        await asyncio.wait(
            {awaited, self._left},
            timeout=max(0.0, seconds),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._left.done() and not awaited.done():
            raise ClientLeft

    def rest(self) -> float:
        """How many seconds are left."""
        return self._deadline - asyncio.get_running_loop().time()


async def _until_left(receive: Receive) -> None:
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
