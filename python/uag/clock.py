"""The seconds of a round by phase, on the clock of the generation it belongs to.

Several generations may take turns on one thread. Each then has its own clock, which stops while the
others run. The scheduler sets it in the generation's context (`contextvars`).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Self

# Without a scheduler, time is the machine's.
_clock: ContextVar[Callable[[], float]] = ContextVar("clock", default=perf_counter)


# For how long the current generation's clock has been stopped.
_stopped: ContextVar[float] = ContextVar("stopped", default=0.0)


def now() -> float:
    """The time in seconds on the current generation's clock; only differences mean anything."""
    return _clock.get()() - _stopped.get()


@contextmanager
def stopped() -> Generator[None]:
    """Stop the current generation's clock inside the `with` block.

    For what is set up once, such as compiled code: it is no part of what a round costs.

    >>> clock = Clock()
    >>> with clock.phase("draft"), stopped():
    ...     pass  # what takes long is left out
    """
    running = _clock.get()
    start = running()
    try:
        yield
    finally:
        _stopped.set(_stopped.get() + running() - start)


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
    _stopped.set(0.0)


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
        self._start = self._since = now()
        self._phase = ""

    def phase(self, name: str) -> Self:
        """Count the time inside the `with` block towards `name`; blocks do not overlap."""
        self._phase = name
        return self

    def __enter__(self) -> None:
        self._since = now()

    def __exit__(self, *error: object) -> None:
        spent = self._phases.get(self._phase, 0.0)
        self._phases[self._phase] = spent + now() - self._since

    def seconds(self) -> dict[str, float]:
        """Seconds by phase since the round began."""
        other = now() - self._start - sum(self._phases.values())
        return self._phases | {"other": max(0.0, other)}
