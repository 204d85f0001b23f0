"""The time of a round by phase, on the clock of the text that is decoded.

Several texts may take turns on one thread. Each then has a clock of its own, which stands still
while the others run; the scheduler sets it in the context of the text.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

# Where no scheduler has set a clock, time is that of the machine.
_clock: ContextVar[Callable[[], float]] = ContextVar("clock", default=perf_counter)


def now() -> float:
    """The time in seconds for the text that is decoded; only differences mean anything."""
    return _clock.get()()


def current_clock() -> Callable[[], float]:
    """What `now` reads in the current context."""
    return _clock.get()


def set_clock(clock: Callable[[], float]) -> None:
    """Have `now` read another clock in the current context.

    >>> from contextvars import copy_context
    >>> context = copy_context()
    >>> context.run(set_clock, lambda: 5.0)
    >>> context.run(now)
    5.0
    """
    _clock.set(clock)


class Clock:
    """Wall-clock seconds of a round by phase; what no phase claims is "other"."""

    def __init__(self) -> None:
        self._phases: dict[str, float] = {}
        self._start = now()

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Count the time inside the `with` block towards `name`."""
        start = now()
        try:
            yield
        finally:
            self._phases[name] = self._phases.get(name, 0.0) + now() - start

    def seconds(self) -> dict[str, float]:
        """Seconds by phase since the round began."""
        other = now() - self._start - sum(self._phases.values())
        return self._phases | {"other": max(0.0, other)}
