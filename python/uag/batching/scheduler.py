"""Several texts at once: each is decoded by itself, and waits where a model reads.

A text runs in a greenlet until it needs a forward pass. When all of them wait, those that wait for
the same model are read in one pass, and go on. So the loop of one text is the loop of many.
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
class Reading:
    """Ids that one text has a model read.

    Attributes:
        cache: the text's cache of the model, and `cache.batch` the texts it is read with.
        ids: `[ids]`.
        positions: for how many of the last ones logits are needed.
    """

    cache: Any
    ids: Tensor
    positions: int


class Reader(Protocol):
    """Reads for several texts in one pass."""

    def choose(self, waiting: Sequence[Reading]) -> Sequence[Reading]:
        """Those of the waiting that are read in the next pass; at least one."""
        ...

    def read(self, readings: Sequence[Reading]) -> list[Tensor]:
        """One forward pass: logits for each."""
        ...

    def leave(self, row: Any) -> None:
        """A text has ended."""
        ...


class _Row(greenlet):
    """A text under way, with the seconds that it took: its own, and its share of passes."""

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


def meet(reading: Reading) -> Tensor:
    """Wait for the others, and for the pass that reads for all; called from within a task."""
    hub = cast("greenlet", getcurrent().parent)
    return hub.switch(reading)


def run_together(
    tasks: Sequence[Callable[[], T]], readers: Sequence[Reader], size: int | None = None
) -> list[T]:
    """The results of tasks that run at the same time, at most `size` of them.

    While a task waits for one of the first `readers`, those behind it in the list are not asked:
    drafts are completed before they are verified. An error in a pass is raised in the tasks that
    waited for it; one that a task doesn't handle ends all of them.
    """
    results: dict[int, T] = {}
    to_come = deque(enumerate(tasks))
    waiting: dict[_Row, Reading] = {}
    numbers: dict[_Row, int] = {}

    def go_on(row: _Row, *answer: Tensor | Exception) -> None:
        result = row.go_on(*answer)
        if not row.dead:
            waiting[row] = result
            row.caches.add(result.cache)
            return
        results[numbers.pop(row)] = result
        for cache in row.caches:
            cache.batch.leave(cache)

    try:
        while to_come or waiting:
            while to_come and (size is None or len(numbers) < size):
                number, task = to_come.popleft()
                numbers[row := _Row(task)] = number
                go_on(row)
            for reader in readers:
                if asking := [each for each in waiting.values() if each.cache.batch is reader]:
                    _read(reader, asking, waiting, go_on)
                    break
    finally:
        for row in numbers:
            row.throw()
    return [results[number] for number in range(len(tasks))]


def _read(
    reader: Reader,
    asking: Sequence[Reading],
    waiting: dict[_Row, Reading],
    go_on: Callable[..., None],
) -> None:
    """One pass, after which those that waited for it go on."""
    chosen = reader.choose(asking)
    start = now()
    answers: Sequence[Tensor | Exception]
    try:
        answers = reader.read(chosen)
    except Exception as error:  # noqa: BLE001 - it is raised where the tasks wait
        answers = [error] * len(chosen)
    share = (now() - start) / len(chosen)
    rows = {id(reading): row for row, reading in waiting.items()}
    for reading, answer in zip(chosen, answers, strict=True):
        row = rows[id(reading)]
        del waiting[row]
        row.spend(share)
        go_on(row, answer)
