"""Several generations at the same time: each runs its own loop and waits for forward passes.

Each generation is a task: it runs in a greenlet until it needs a pass. When all tasks wait, those
that wait for the same model share one pass, and then continue. So one loop, written for a single
generation, serves batches too.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from greenlet import getcurrent, greenlet
from torch import Tensor

from uag.clock import current_clock, now, set_clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PassRequest:
    """A task's request for a forward pass.

    Attributes:
        cache: the generation's cache of the model; `cache.batch` is the `BatchReader` to use.
        ids: the ids to read, of shape `[n]`.
        positions: for how many of the last ids logits are needed.
    """

    cache: Any
    ids: Tensor
    positions: int


class BatchReader(Protocol):
    """A model that serves several requests in one forward pass."""

    def choose(self, waiting: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """Those of the waiting requests that share the next pass; at least one."""
        ...

    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """One forward pass; the logits for each request."""
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


class _Task(greenlet):
    """A generation that runs; its context knows its clock."""

    def __init__(self, task: Callable[[], Any]) -> None:
        super().__init__(task)
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


def wait_for_pass(request: PassRequest) -> Tensor:
    """The logits of a request, after a pass shared with other tasks; called within a task."""
    hub = cast("greenlet", getcurrent().parent)
    return hub.switch(request)


def run_together(
    calls: Sequence[Callable[[], T]], batches: Sequence[BatchReader], size: int | None = None
) -> list[T]:
    """Run all calls, each as a task, at most `size` of them at the same time; their results.

    A pass of one of the `batches` runs only if no task waits for one before it in the list: with
    the assistant's first, all drafts are completed before any is verified. An error in a pass is
    raised in each task that waited for it. An error that a task does not handle ends all tasks and
    is raised here.

    >>> run_together([lambda: "one", lambda: "two"], batches=[])
    ['one', 'two']
    """
    results: dict[int, T] = {}
    pending = deque(enumerate(calls))
    waiting: dict[_Task, PassRequest] = {}
    numbers: dict[_Task, int] = {}

    def resume(task: _Task, *answer: Tensor | Exception) -> None:
        result = task.resume(*answer)
        if not task.dead:
            waiting[task] = result
            task.caches.add(result.cache)
            return
        results[numbers.pop(task)] = result
        for cache in task.caches:
            cache.batch.leave(cache)

    try:
        while pending or waiting:
            while pending and (size is None or len(numbers) < size):
                number, call = pending.popleft()
                numbers[task := _Task(call)] = number
                resume(task)
            for batch in batches:
                if asking := [each for each in waiting.values() if each.cache.batch is batch]:
                    _run_pass(batch, asking, waiting, resume)
                    break
    finally:
        for task in numbers:
            task.throw()
    return [results[number] for number in range(len(calls))]


def _run_pass(
    batch: BatchReader,
    asking: Sequence[PassRequest],
    waiting: dict[_Task, PassRequest],
    resume: Callable[..., None],
) -> None:
    """Run one pass, and then continue each task that waited for it."""
    chosen = batch.choose(asking)
    start = now()
    answers: Sequence[Tensor | Exception]
    try:
        answers = batch.forward(chosen)
    except Exception as error:  # noqa: BLE001 - it is raised in the waiting tasks
        answers = [error] * len(chosen)
    share = (now() - start) / len(chosen)
    by_request = {id(request): task for task, request in waiting.items()}
    for request, answer in zip(chosen, answers, strict=True):
        task = by_request[id(request)]
        del waiting[task]
        task.clock.spend(share)
        resume(task, answer)
