"""The seconds of a round by phase, on the clock of the generation it belongs to.

Several generations may take turns on one thread. Each then has its own clock, which stops while the
others run. The scheduler sets it in the generation's context (`contextvars`).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

# Without a scheduler, time is the machine's.
_clock: ContextVar[Callable[[], float]] = ContextVar("clock", default=perf_counter)


def now() -> float:
    """The time in seconds on the current generation's clock; only differences mean anything."""
    return _clock.get()()


def current_clock() -> Callable[[], float]:
    """The function that `now` calls in the current context."""
    return _clock.get()


def set_clock(clock: Callable[[], float]) -> None:
    """Make `now` use another clock in the current context.

    >>> from contextvars import copy_context
    >>> context = copy_context()
    >>> context.run(set_clock, lambda: 5.0)
    >>> context.run(now)
    5.0
    """
    _clock.set(clock)


class Clock:
    """Wall-clock seconds of a round by phase; time outside every phase counts as "other".

    >>> clock = Clock()
    >>> with clock.phase("draft"):
    ...     pass
    >>> list(clock.seconds())
    ['draft', 'other']
    """

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
