"""Decodes the texts of many requests, which come and go, on one thread that owns both models."""

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self

import torch
from greenlet import GreenletExit

from uag.batching.session import Session
from uag.clock import now
from uag.decoder import BATCH_SIZE, SpeculativeDecoder
from uag.decoding.output import TextStream
from uag.engine import Owner
from uag.errors import OptionError
from uag.limits import check_positive
from uag.models.properties import context_window, device_of, is_sharded
from uag.requests.prompts.ids import Prompt
from uag.requests.request import Request
from uag.sampling.coupled import fresh_seed
from uag.serving.errors import ClosedError, DoesNotFitError, OverloadedError
from uag.serving.inbox import (
    Asked,
    Cancelled,
    Inbox,
    Job,
    Message,
    Mute,
    SharedInbox,
    Stop,
    Wake,
)
from uag.serving.memory import OF_FREE, CacheMemory, free_bytes
from uag.serving.replies import Replies
from uag.serving.reply import Ended, Piece, Reply

if TYPE_CHECKING:
    from uag.batching.scheduler import Task

# Most ids of prompts, padding included, that newcomers may put between two passes of the others.
PROMPT_IDS = 512
# The longest text of a model without a window.
NO_WINDOW = 1 << 20
# How many texts the estimate of a text's seconds looks back on.
LOOK_BACK = 64
TOO_LATE = "the engine was closed before the text ended"
LOADING, READY, DRAINING, CLOSED, DEAD = "loading", "ready", "draining", "closed", "dead"


@dataclass(slots=True, eq=False)
class _Waiting:
    """One text that has been read, and waits for a place among those under way."""

    reply: Reply | Mute
    text: TextStream
    index: int
    length: int  # most ids of it
    owner: str


class ServingEngine:
    """Decodes requests as they come, up to `batch_size` texts at the same time.

    A text never waits for the others to end, and is the one that `decoder.generate` gives alone. An
    error in a text ends its request only. One thread owns the models; requests are submitted from
    event loops.

    >>> import asyncio
    >>> async def ask(engine: ServingEngine) -> str:
    ...     reply = engine.submit("Once upon a time", {"max_new_tokens": 8})
    ...     return "".join([event.text async for event in reply if isinstance(event, Piece)])
    >>> with ServingEngine(decoder) as engine:
    ...     text = asyncio.run(ask(engine))
    >>> text == decoder.generate("Once upon a time", max_new_tokens=8).text
    True

    Attributes:
        decoder: as given.
        batch_size: how many texts are decoded at the same time: 1 if the target cannot read several
            in one pass.
        state: "loading", "ready", "draining", "closed" or "dead".
    """

    def __init__(
        self,
        decoder: SpeculativeDecoder,
        *,
        batch_size: int = BATCH_SIZE,
        max_queued: int = 64,
        memory: int | None = None,
        longest: int | None = None,
        remember: int = 0,
    ) -> None:
        """Prepare to serve.

        Args:
            decoder: holds the models and what drafts.
            batch_size: how many texts are decoded at the same time, at most.
            max_queued: how many more texts may wait for that.
            memory: most bytes for the KV caches of both models; by default 60 % of what is free on
                the target's device when the engine starts. A quarter is for ended texts.
            longest: most ids of a text, prompt included; by default the target's window.
            remember: most bytes of earlier replies that drafts for later texts of the same owner
                are looked up in; 0 remembers none.

        Raises:
            OptionError: for a number below 1; `max_queued` and `remember` may be 0. For `remember`
                with a decoder that does not look up.
        """
        check_positive(batch_size=batch_size, memory=memory, longest=longest)
        if max_queued < 0:
            raise OptionError(f"max_queued={max_queued}: it must be at least 0")
        self.decoder = decoder
        self.state = LOADING
        self._requests, self._engine = decoder.parts
        model = self._requests.prompts.model
        self.longest = longest or context_window(model) or NO_WINDOW
        self._session = self._engine.open(batch_size, self.longest, PROMPT_IDS)
        self.batch_size = self._session.size
        self._places = _Places(self.batch_size + max_queued)
        self._memory_wanted = memory
        self._replies = Replies(decoder.lookup, remember)
        self._memory: CacheMemory | None = None
        self._device = device_of(model)
        sharded = any(is_sharded(each.model) for each in self._engine.runners.values())
        self._inbox = SharedInbox() if sharded else Inbox()
        if sharded and self.batch_size == 1:
            raise OptionError(
                f"batch_size={batch_size}: processes that share a model serve texts that share "
                "passes; give at least 2, and a model that reads several texts in one pass"
            )
        self._waiting: deque[_Waiting] = deque()
        self._under_way: dict[_Waiting, Task | None] = {}
        self._seconds: deque[float] = deque(maxlen=LOOK_BACK)  # that texts took
        self._empty, self._stopping, self._ended = Flag(), Flag(), Flag()
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="uag-reader")
        self._thread = Thread(target=self._run, name="uag-engine", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close(grace=0)

    @property
    def running(self) -> int:
        """How many texts are being decoded."""
        return len(self._under_way)

    @property
    def queued(self) -> int:
        """How many texts wait to be read or decoded."""
        return max(0, self._places.taken - len(self._under_way))

    @property
    def kept_bytes(self) -> int:
        """The memory of the states of ended texts, in bytes."""
        return sum(each.bytes for each in self._session.prefixes.values())

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self.state = READY

    def submit(
        self,
        prompt: Prompt,
        options: dict[str, Any],
        *,
        count: int = 1,
        seed: int | None = None,
        owner: str = "",
    ) -> Reply:
        """Ask for `count` texts; call it in a running event loop.

        Args:
            prompt: see `SpeculativeDecoder.generate`.
            options: generation options; see the same.
            count: how many continuations of the prompt.
            seed: see the same. Text `i` is that of `generate(num_return_sequences=count)[i]`.
            owner: states of ended texts are taken over only from texts of the same owner.

        Raises:
            OverloadedError: if all places are taken.
            OptionError: for a `count` below 1, or of more texts than there are places.
            ClosedError: if the engine is not ready.
        """
        check_positive(count=count)
        if self.state != READY:
            raise ClosedError(f"the engine is {self.state}: it takes no requests")
        if count > self._places.size:
            raise OptionError(
                f"count={count}: there are places for {self._places.size} texts; ask for fewer"
            )
        if not self._places.take(count):
            raise OverloadedError(
                f"all {self._places.size} places are taken: {self.running} texts are decoded, "
                f"{self.queued} wait; try again later",
                self._retry_after(),
            )
        reply = Reply(count, self._drop)
        self._readers.submit(self._read, reply, prompt, options, seed, owner)
        return reply

    def drain(self) -> None:
        """Take no more requests; those that were submitted go on."""
        if self.state == READY:
            self.state = DRAINING

    def follow(self) -> None:
        """Compute what the first of the processes that share a model serves; in the other ones.

        >>> ServingEngine(decoder).follow()
        Traceback (most recent call last):
        uag.errors.OptionError: no other process shares the model: start the engine instead
        """
        if not self._inbox.shared:
            raise OptionError("no other process shares the model: start the engine instead")
        self.state = READY
        self._run()
        self._end_state()

    def close(self, grace: float = 30.0) -> None:
        """End the thread, after up to `grace` seconds for the texts that are left to end.

        Those that have not ended by then fail with a `ClosedError`.
        """
        self.drain()
        if self._thread.is_alive():
            self._inbox.put(Wake())
            self._empty.wait(grace)
            self._stopping.set()
            self._inbox.put(Stop())
            self._thread.join()
        self._end_state()

    def _end_state(self) -> None:
        self._readers.shutdown()
        self.state = DEAD if self.state == DEAD else CLOSED

    # In the threads that read prompts.

    def _read(
        self,
        reply: Reply,
        prompt: Prompt,
        options: dict[str, Any],
        seed: int | None,
        owner: str,
    ) -> None:
        ids: Future[list[int]] = Future()
        try:
            requests = self._requests_of(prompt, options, reply.count, seed)
            length = max(request.plan.stop.max_length for request in requests)
            self._check_length(length)
            if seed is None and requests[0].plan.sampling is not None:
                seed = fresh_seed()
            job = Job(prompt, options, reply.count, seed, owner)
            self._inbox.put(Asked(reply, job, requests))
            ids.set_result(requests[0].target_ids)
        except BaseException as error:  # noqa: BLE001 - whoever asked is told
            ids.set_exception(error)
            self._places.give(reply.count)
        reply.has_read(ids)
        if self._ended.is_set():
            self._refuse_late()

    def _check_length(self, length: int) -> None:
        if length > self.longest:
            raise OptionError(
                f"the prompt and max_new_tokens come to {length} ids, and the engine takes texts "
                f"of up to {self.longest}; ask for fewer, or start it with a larger limit"
            )
        if self._memory is not None and not self._memory.fits(length):
            raise DoesNotFitError(
                f"a text of up to {length} ids does not fit into the {self._memory.budget:,} bytes "
                "for KV caches; ask for fewer, or start the engine with more memory"
            )

    # In the engine's thread.

    def _run(self) -> None:
        try:
            self._prepare()
            while True:
                self._receive()
                self._admit()
                self._session.step()
                self._check_empty()
        except _Stopped:
            error: Exception = ClosedError(TOO_LATE)
        except BaseException as failure:  # noqa: BLE001 - the thread must answer whatever happens
            self.state = DEAD
            error = ClosedError(f"the engine has failed: {type(failure).__name__}: {failure}")
            print(f"uag: {error}", file=sys.stderr)  # noqa: T201 - nobody may be left to tell
        for each in [*self._under_way, *self._waiting]:
            each.reply.fail(error)
        self._empty.set()
        self._ended.set()
        self._refuse_late()

    def _prepare(self) -> None:
        if id_bytes := self._session.id_bytes():
            free = self._memory_wanted or round(OF_FREE * free_bytes(self._device))
            budget = self._inbox.agreed(free)
            self._memory = CacheMemory(budget, id_bytes, slots_for=self._session.slots_for)
            self._session.permit(self._memory.most_slots)
            for role, bytes in self._memory.for_ended().items():
                self._session.prefixes[role].budget = bytes

    def _receive(self) -> None:
        """Do what was asked for; if no text is left, wait for that."""
        for message in self._inbox.take(wait=not self._under_way and not self._waiting):
            self._do(message)

    def _do(self, message: Message) -> None:
        match message:
            case Asked():
                self._queue(message)
            case Cancelled():
                self._end(message.reply)
            case Stop():
                self._stop()
            case Wake():
                self._check_empty()

    def _queue(self, asked: Asked) -> None:
        reply, job = asked.reply, asked.job
        if not asked.wanted or self._ended.is_set():
            self._places.give(reply.count)
            reply.fail(ClosedError(TOO_LATE))
            return
        try:
            requests = asked.requests or self._requests_of(
                job.prompt, job.options, job.count, job.seed
            )
            session = self._session_for(requests)
            whose = Owner(job.owner, self._replies.of(job.owner))
            texts = self._engine.texts(requests, job.seed, session, whose)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            self._places.give(reply.count)
            reply.fail(error)
            return
        for index, (text, request) in enumerate(zip(texts, requests, strict=True)):
            length = request.plan.stop.max_length
            self._waiting.append(_Waiting(reply, text, index, length, job.owner))

    def _requests_of(
        self, prompt: Prompt, options: dict[str, Any], count: int, seed: int | None
    ) -> Sequence[Request]:
        several = count if count > 1 else None
        return self._requests.read([prompt], options, count=several, seed=seed)

    def _session_for(self, requests: Sequence[Request]) -> Session:
        """The session of all texts, or where texts cannot share passes one of the request's own."""
        if self.batch_size > 1:
            return self._session
        longest = max(request.plan.stop.max_length for request in requests)
        return self._engine.open(1, longest, PROMPT_IDS)

    def _admit(self) -> None:
        """Begin texts, first come first served, while there are places and memory."""
        while self._waiting and len(self._under_way) < self.batch_size:
            if self._memory and not self._memory.admits(
                self._waiting[0].length, len(self._under_way)
            ):
                return
            self._begin(self._waiting.popleft())

    def _begin(self, waiting: _Waiting) -> None:
        start = now()

        def ended(outcome: Future[Ended]) -> None:
            del self._under_way[waiting]
            self._places.give(1)
            if (error := outcome.exception()) is None:
                self._seconds.append(now() - start)
                self._end_well(waiting, outcome.result())
                return
            waiting.reply.fail(error)
            self._end(waiting.reply)
            if _is_final(error) or (self._inbox.shared and isinstance(error, RuntimeError)):
                raise error  # the other processes may not have had it: none can go on

        self._under_way[waiting] = None
        task = self._session.begin(partial(self._tell, waiting), ended)
        if waiting in self._under_way:
            self._under_way[waiting] = task

    def _end_well(self, waiting: _Waiting, result: Ended | GreenletExit) -> None:
        """Tell the end of a text; one that ended itself, as nobody wanted it, has no result."""
        if isinstance(result, Ended):
            self._replies.remember(waiting.owner, result.output.text)
            waiting.reply.put(result)

    def _tell(self, waiting: _Waiting) -> Ended:
        """Decode a text and tell its pieces; its end is told when its place is free.

        Where nothing is batched it keeps the thread, so it looks itself whether it should end.
        """
        reply, stats, told = waiting.reply, waiting.text.stats, 0
        for piece in waiting.text:
            reply.put(Piece(waiting.index, piece, stats.history[told:]))
            told = len(stats.history)
            if self.batch_size > 1:
                continue
            if reply.cancelled:
                raise GreenletExit
            if self._stopping.is_set():
                raise ClosedError(TOO_LATE)
        return Ended(waiting.index, waiting.text.finish(), stats.history[told:])

    def _drop(self, reply: Reply) -> None:
        """Called in any thread: end what is left of a reply."""
        self._inbox.put(Cancelled(reply))

    def _end(self, reply: Reply | Mute) -> None:
        for each, task in [*self._under_way.items()]:
            if each.reply is reply and task is not None:
                del self._under_way[each]
                self._session.drop(task)
                self._places.give(1)
        left = [each for each in self._waiting if each.reply is not reply]
        self._places.give(len(self._waiting) - len(left))
        self._waiting = deque(left)

    def _check_empty(self) -> None:
        if self.state == DRAINING and not self._places.taken:
            self._empty.set()

    def _stop(self) -> None:
        for reply in {each.reply for each in [*self._under_way, *self._waiting]}:
            reply.fail(ClosedError(TOO_LATE))
            self._end(reply)
        if not self._ended.is_set():
            raise _Stopped

    def _refuse_late(self) -> None:
        """Refuse what was read too late for the thread to see it."""
        for message in self._inbox.rest():
            self._do(message)

    def _retry_after(self) -> float:
        """Seconds until a place is free, by what texts took lately."""
        if not self._seconds:
            return 1.0
        return min(60.0, max(1.0, fmean(self._seconds) * self.queued / self.batch_size))


class _Stopped(BaseException):
    """Ends the loop of the engine's thread."""


class _Places:
    """Places for texts, taken and given back by several threads."""

    def __init__(self, size: int) -> None:
        self.size, self.taken = size, 0
        self._lock = Lock()

    def take(self, count: int) -> bool:
        """Take places, if there are as many."""
        with self._lock:
            if self.taken + count > self.size:
                return False
            self.taken += count
            return True

    def give(self, count: int) -> None:
        """Give places back."""
        with self._lock:
            self.taken -= count


def _is_final(error: BaseException) -> bool:
    """Whether a device can compute nothing more in this process, as after an illegal access."""
    accelerator = getattr(torch, "AcceleratorError", None)
    return accelerator is not None and isinstance(error, accelerator)
