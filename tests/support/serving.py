"""A stand-in for the serving engine: one thread, one request after the other."""

import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from uag import SpeculativeDecoder
from uag.serving.errors import ClosedError, OverloadedError
from uag.serving.reply import Ended, Piece, Reply


@dataclass
class Job:
    """A request that waits for the thread."""

    reply: Reply
    prompt: Any
    options: dict[str, Any]
    seed: int | None


class StandIn:
    """The interface of `ServingEngine`, without sharing passes."""

    def __init__(
        self, decoder: SpeculativeDecoder, *, batch_size: int = 16, max_queued: int = 64
    ) -> None:
        self.decoder = decoder
        self.state = "loading"
        self.running, self.queued = 0, 0
        self.cancelled: list[Any] = []
        self._places = batch_size + max_queued
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.state = "ready"

    def submit(self, prompt: Any, options: dict[str, Any], *, count: int = 1,
               seed: int | None = None, owner: str = "") -> Reply:  # fmt: skip
        if self.state != "ready":
            raise ClosedError(f"the engine is {self.state}: it takes no requests")
        if self.running + self.queued + count > self._places:
            raise OverloadedError(f"all {self._places} places are taken; try again later", 1.0)
        self.queued += count
        reply = Reply(count, lambda _: self.cancelled.append(prompt))
        self._queue.put(Job(reply, prompt, options, seed))
        return reply

    def drain(self) -> None:
        if self.state == "ready":
            self.state = "draining"

    def close(self, grace: float = 30.0) -> None:
        self.drain()
        self._queue.put(None)
        self._thread.join(grace)
        self._ending.set()
        self._thread.join()
        self.state = "closed"

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            count = job.reply.count
            self.queued -= count
            self.running += count
            try:
                self._decode(job)
            except Exception as error:  # noqa: BLE001 # whoever reads the reply gets it
                job.reply.fail(error)
            finally:
                self.running -= count

    def _decode(self, job: Job) -> None:
        reply, own, read = job.reply, self.decoder, Future[list[int]]()
        if reply.cancelled:
            return
        requests = own._requests.read([job.prompt], job.options, count=reply.count, seed=job.seed)
        read.set_result(requests[0].target_ids)
        reply.has_read(read)
        session = own._engine._session(requests, 1)
        for index, text in enumerate(own._engine.texts(requests, job.seed, session)):
            told = 0
            for piece in text:
                if self._ending.is_set():
                    raise ClosedError("the engine was closed before the text ended")
                if reply.cancelled:
                    return
                rounds = text.stats.history[told:]
                told += len(rounds)
                reply.put(Piece(index, piece, rounds))
            reply.put(Ended(index, text.finish(), text.stats.history[told:]))


@contextmanager
def running(decoder: SpeculativeDecoder, **places: int) -> Generator[Any]:
    """An engine that has started, and is closed in the end."""
    engine = StandIn(decoder, **places)
    engine.start()
    try:
        yield engine
    finally:
        engine.close(0)
