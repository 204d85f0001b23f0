"""Several texts at once: each is decoded on its own, and waits where it needs a forward pass.

A text runs in a greenlet until it needs a pass. When all of them wait, those that wait for the same
model share one pass, and continue. So the loop of one text is the loop of many.
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
    """Ids that a model is to read for one text.

    Attributes:
        cache: the text's cache of the model, and `cache.batch` the texts it is read with.
        ids: `[ids]`.
        positions: for how many of the last ones logits are needed.
    """

    cache: Any
    ids: Tensor
    positions: int


class BatchReader(Protocol):
    """A model that reads for several texts in one pass."""

    def choose(self, waiting: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """The waiting requests that share the next pass; at least one."""
        ...

    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """One forward pass: logits for each."""
        ...

    def leave(self, row: Any) -> None:
        """A text has ended."""
        ...


class _Task(greenlet):
    """A text that is decoded, with its seconds so far: its own, and its share of passes."""

    def __init__(self, task: Callable[[], Any]) -> None:
        super().__init__(task)
        self.gr_context = context = copy_context()
        context.run(set_clock, self.now)
        self.caches: set[Any] = set()
        self._clock = current_clock()
        self._seconds, self._since = 0.0, 0.0

    def go_on(self, *answer: Tensor | Exception) -> Any:
        """Run until it waits, or has its result; an error is raised where it waited."""
        self._since = self._clock()
        try:
            if answer and isinstance(answer[0], Exception):
                return self.throw(answer[0])
            return self.switch(*answer)
        finally:
            self.spend(self._clock() - self._since)

    def spend(self, seconds: float) -> None:
        self._seconds += seconds

    def now(self) -> float:
        return self._seconds + self._clock() - self._since


def wait_for_pass(request: PassRequest) -> Tensor:
    """Wait for the other texts and for the pass that they share; called from within a task."""
    hub = cast("greenlet", getcurrent().parent)
    return hub.switch(request)


def run_together(
    calls: Sequence[Callable[[], T]], batches: Sequence[BatchReader], size: int | None = None
) -> list[T]:
    """The results of calls that run at the same time, each as a task, at most `size` of them.

    While a task waits for one of the first `batches`, later ones in the list do not run: drafts are
    completed before they are verified. An error in a pass is raised in the tasks that waited for
    it; one that a task doesn't handle ends all of them.
    """
    results: dict[int, T] = {}
    to_come = deque(enumerate(calls))
    waiting: dict[_Task, PassRequest] = {}
    numbers: dict[_Task, int] = {}

    def go_on(task: _Task, *answer: Tensor | Exception) -> None:
        result = task.go_on(*answer)
        if not task.dead:
            waiting[task] = result
            task.caches.add(result.cache)
            return
        results[numbers.pop(task)] = result
        for cache in task.caches:
            cache.batch.leave(cache)

    try:
        while to_come or waiting:
            while to_come and (size is None or len(numbers) < size):
                number, call = to_come.popleft()
                numbers[task := _Task(call)] = number
                go_on(task)
            for batch in batches:
                if asking := [each for each in waiting.values() if each.cache.batch is batch]:
                    _run_pass(batch, asking, waiting, go_on)
                    break
    finally:
        for task in numbers:
            task.throw()
    return [results[number] for number in range(len(calls))]


def _run_pass(
    batch: BatchReader,
    asking: Sequence[PassRequest],
    waiting: dict[_Task, PassRequest],
    go_on: Callable[..., None],
) -> None:
    """One pass, after which those that waited for it go on."""
    chosen = batch.choose(asking)
    start = now()
    answers: Sequence[Tensor | Exception]
    try:
        answers = batch.forward(chosen)
    except Exception as error:  # noqa: BLE001 - it is raised where the tasks wait
        answers = [error] * len(chosen)
    share = (now() - start) / len(chosen)
    by_request = {id(request): task for task, request in waiting.items()}
    for request, answer in zip(chosen, answers, strict=True):
        task = by_request[id(request)]
        del waiting[task]
        task.spend(share)
        go_on(task, answer)
