"""Several generations at the same time: each runs its own loop and waits for forward passes.

Each generation is a task: it runs in a greenlet until it needs a pass. When all tasks wait, those
that wait for the same model share one pass, and then continue. So one loop, written for a single
generation, serves batches too. Tasks may begin, and be dropped, while others are under way.

What an error passes through forgets it (`del`): else the error, by its traceback, and a variable
would hold each other, and the models, until the garbage collector runs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor

from uag.clock import current_clock, now, set_clock

T = TypeVar("T")
# Most ids of one row in one pass; a longer prompt is read in pieces, so that masks stay small.
PIECE = 512
# A request with more ids than this beside those whose logits are needed reads a prompt.
NARROW = 32
Errors = tuple[type[Exception], ...]
OUT_OF_MEMORY: Errors = (torch.OutOfMemoryError,)


@dataclass(slots=True, eq=False)
class PassRequest:
    """A task's request to read ids, in one or several forward passes.

    Attributes:
        cache: the generation's cache of the model; `cache.batch` is the `BatchReader` to use.
        ids: the ids that are still to be read, of shape `[n]`.
        positions: for how many of the last ids logits are needed.
    """

    cache: Any
    ids: Tensor
    positions: int

    @property
    def reads_prompt(self) -> bool:
        """Whether most of its ids are read for what follows, and not to be verified."""
        return len(self.ids) - self.positions > NARROW

    def piece(self, most: int) -> "PassRequest":
        """The request for its first `most` ids; for all of them, if these are no more.

        The ids whose logits are needed stay together.
        """
        if len(self.ids) <= max(most, self.positions):
            return self
        return PassRequest(self.cache, self.ids[: min(most, len(self.ids) - self.positions)], 1)


class BatchReader(Protocol):
    """A model that serves several requests in one forward pass."""

    def choose(self, waiting: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """Those of the waiting requests that share the next pass; at least one."""
        ...

    def share(self, prompts: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """Shorten each request by what is known of its text.

        Returns those that need not wait for another one to read what they have in common; at least
        one.
        """
        ...

    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """One forward pass; the logits for each request. If it fails, nothing has changed."""
        ...

    def leave(self, row: Any) -> None:
        """The generation of a row has ended."""
        ...


class _TaskClock:
    """The clock of a task: its own seconds, and its share of common passes."""

    def __init__(self) -> None:
        self._clock = current_clock()
        self._seconds, self._since = 0.0, 0.0

    def resume(self) -> None:
        self._since = self._clock()

    def pause(self) -> None:
        self.spend(self._clock() - self._since)

    def spend(self, seconds: float) -> None:
        self._seconds += seconds

    def now(self) -> float:
        return self._seconds + self._clock() - self._since


class Task(greenlet):
    """A generation that runs; its context knows its clock."""

    def __init__(self, call: Callable[[], Any], ended: Callable[[Future[Any]], None]) -> None:
        super().__init__(call)
        self.ended = ended
        self.clock = _TaskClock()
        self.gr_context = context = copy_context()
        context.run(set_clock, self.clock.now)
        self.caches: set[Any] = set()

    def resume(self, *answer: Tensor | Exception) -> Any:
        """Run until it waits or returns; if `answer` is an error, it is raised where it waited."""
        self.clock.resume()
        try:
            if answer and isinstance(answer[0], Exception):
                return self.throw(answer[0])
            return self.switch(*answer)
        finally:
            self.clock.pause()
            del answer


def wait_for_pass(request: PassRequest) -> Tensor:
    """The logits of a request, after passes shared with other tasks; called within a task."""
    hub = cast("greenlet", getcurrent().parent)
    return hub.switch(request)


class Hub:
    """Tasks that share forward passes.

    A pass of one of the `batches` runs only if no task waits for one before it in the list: with
    the assistant's first, all drafts are completed before any is verified. Prompts come before
    both. An error in a pass is raised in each task that waited for it. After an error of `halved`
    the pass is tried again in halves, so that only those tasks fail whose ids cannot be read.

    >>> hub, found = Hub([]), list[str]()
    >>> task = hub.begin(lambda: "one", lambda outcome: found.append(outcome.result()))
    >>> hub.step(), found
    (False, ['one'])
    """

    def __init__(
        self,
        batches: Sequence[BatchReader],
        *,
        prompt_ids: int | None = None,
        halved: Errors = OUT_OF_MEMORY,
    ) -> None:
        """Begin without tasks.

        Args:
            batches: the models, in the order in which their passes run.
            prompt_ids: most ids of prompts in a pass, padding included. After such a pass the last
                model first serves those that read no prompt, so that newcomers, first come first
                served, hold the others back by no more than this in a round. `None`: the whole of
                all prompts is read first.
            halved: the errors after which a pass is tried again; none where other processes take
                part in it.
        """
        self._batches = list(batches)
        self._prompt_ids = prompt_ids
        self._halved = halved
        self._tasks: set[Task] = set()
        self._waiting: dict[Task, PassRequest] = {}
        self._others_first = False  # after a pass for prompts

    def __len__(self) -> int:
        """How many tasks have begun and not ended."""
        return len(self._tasks)

    def begin(self, call: Callable[[], T], ended: Callable[[Future[T]], None]) -> Task:
        """Run a call as a task until it needs a pass.

        `ended` is called with its result, or with the error that it raised.
        """
        task = Task(call, ended)
        self._tasks.add(task)
        self._resume(task)
        return task

    def drop(self, task: Task) -> None:
        """End a task where it waits; its blocks under `finally` run, and `ended` is not called."""
        if task in self._tasks:
            self._forget(task)
            with suppress(Exception):  # of what it does as it ends
                if not task.dead:
                    task.throw(GreenletExit)

    def drop_all(self) -> None:
        """End all tasks."""
        for task in [*self._tasks]:
            self.drop(task)

    @property
    def reading(self) -> list[Task]:
        """The tasks that wait for a prompt to be read."""
        return [task for task, request in self._waiting.items() if request.reads_prompt]

    def step(self) -> bool:
        """Run one pass, and continue the tasks that it answers; `False` if no task waits."""
        if not self._waiting:
            return False
        prompts = [request for request in self._waiting.values() if request.reads_prompt]
        others = [request for request in self._waiting.values() if not request.reads_prompt]
        if prompts and not (others and self._others_first):
            batch = prompts[0].cache.batch
            chosen = batch.share(_asking(batch, prompts))
            if self._prompt_ids is None:
                pieces = [request.piece(PIECE) for request in batch.choose(chosen)]
            else:
                pieces = _first_pieces(chosen, self._prompt_ids)
                self._others_first = True
        else:
            each_asking = ((each, _asking(each, others)) for each in self._batches)
            batch, asking = next(found for found in each_asking if found[1])
            pieces = [request.piece(PIECE) for request in batch.choose(asking)]
            if batch is self._batches[-1]:
                self._others_first = False
        self._read(batch, pieces)
        return True

    def _read(self, batch: BatchReader, pieces: Sequence[PassRequest]) -> None:
        """Run a pass, and then continue each task whose request it completes."""
        start = now()
        answers = self._answers(batch, pieces)
        share = (now() - start) / len(pieces)
        asking = {request.cache: task for task, request in self._waiting.items()}
        try:
            for piece, answer in zip(pieces, answers, strict=True):
                task = asking[piece.cache]
                request = self._waiting[task]
                task.clock.spend(share)
                if isinstance(answer, Tensor) and len(piece.ids) < len(request.ids):
                    request.ids = request.ids[len(piece.ids) :]
                    continue
                del self._waiting[task]
                self._resume(task, answer)
        finally:
            answers = answer = None

    def _answers(
        self, batch: BatchReader, pieces: Sequence[PassRequest]
    ) -> Sequence[Tensor | Exception]:
        try:
            return batch.forward(pieces)
        except Exception as error:  # noqa: BLE001 - it is raised in the waiting tasks
            if len(pieces) == 1 or not isinstance(error, self._halved):
                return [error] * len(pieces)
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
        half = len(pieces) // 2
        return [*self._answers(batch, pieces[:half]), *self._answers(batch, pieces[half:])]

    def _resume(self, task: Task, *answer: Tensor | Exception) -> None:
        outcome: Future[Any] = Future()
        try:
            result = task.resume(*answer)
        except Exception as error:  # noqa: BLE001 - it is the task's outcome
            outcome.set_exception(error)
        else:
            if not task.dead:
                self._waiting[task] = result
                task.caches.add(result.cache)
                return
            outcome.set_result(result)
        self._forget(task)
        try:
            task.ended(outcome)
        finally:
            del outcome, answer

    def _forget(self, task: Task) -> None:
        self._tasks.discard(task)
        self._waiting.pop(task, None)
        for cache in task.caches:
            cache.batch.leave(cache)


def _asking(batch: BatchReader, requests: Iterable[PassRequest]) -> list[PassRequest]:
    return [request for request in requests if request.cache.batch is batch]


def _first_pieces(requests: Sequence[PassRequest], most: int) -> list[PassRequest]:
    """Pieces of the first requests whose block has up to `most` ids, padding included."""
    pieces: list[PassRequest] = []
    widest = 0
    for request in requests:
        piece = request.piece(most)
        widest = max(widest, len(piece.ids))
        if pieces and (len(pieces) + 1) * widest > most:
            break
        pieces.append(piece)
    return pieces


def run_together(calls: Sequence[Callable[[], T]], hub: Hub, size: int | None = None) -> list[T]:
    """Run all calls as tasks of a hub, at most `size` of them at the same time; their results.

    An error that a task does not handle ends all tasks and is raised here.

    >>> run_together([lambda: "one", lambda: "two"], Hub([]))
    ['one', 'two']
    """
    results: dict[int, T] = {}
    pending = deque(enumerate(calls))

    def ended(number: int, outcome: Future[T]) -> None:
        try:
            results[number] = outcome.result()
        finally:
            del outcome

    try:
        while pending or len(hub):
            while pending and (size is None or len(hub) < size):
                number, call = pending.popleft()
                hub.begin(call, partial(ended, number))
            hub.step()
    finally:
        hub.drop_all()
    return [results[number] for number in range(len(calls))]
