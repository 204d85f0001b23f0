"""What a draft step and a forward pass of the target take, measured while running."""

from bisect import bisect_left
from collections import Counter, deque
from itertools import accumulate
from statistics import median_low

# Medians of so many: one interruption by another process does not count, a change does soon.
MEDIAN_OF = 7
# The first pass of a shape also sets up kernels for it: it counts as at most so many times what was
# expected, and no more once there is another.
SETTING_UP = 2


class Recent:
    """The (lower) median of the last few measurements.

    >>> recent = Recent()
    >>> for seconds in (2.0, 90.0, 3.0): recent.add(seconds)
    >>> recent.value
    3.0
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=MEDIAN_OF)
        self.value: float | None = None

    def add(self, seconds: float) -> None:
        """Count a measurement."""
        self._seconds.append(seconds)
        self.value = median_low(self._seconds)


class Costs:
    """Seconds of each part of a round. They belong to a pair of models, not to a text.

    >>> costs = Costs()
    >>> for _ in range(3):
    ...     costs.verified(1, 0.5); costs.verified(5, 1.5); costs.drafted([1.0, 0.25])
    >>> costs.plain, costs.verification(3), costs.draft(3)
    (0.5, 1.0, 1.5)
    """

    def __init__(self) -> None:
        self._first, self._next = Recent(), Recent()
        self._by_width: dict[int, Recent] = {}
        self._passes: Counter[int] = Counter()
        # Known widths in order, and what they cost.
        self._widths: list[int] = []
        self._seconds: list[float] = []

    @property
    def plain(self) -> float | None:
        """A round without a draft; `None` until it was measured."""
        return self._seconds[0] if self._widths[:1] == [1] else None

    @property
    def step(self) -> float | None:
        """One more drafted id; `None` until there was one."""
        return self._next.value if self._next.value is not None else self._first.value

    def forget_steps(self) -> None:
        """Measure drafts anew."""
        self._first, self._next = Recent(), Recent()

    def drafted(self, seconds: list[float], *, after_draft: bool = True) -> None:
        """Count a draft: for each id, what it took. The first reads what was emitted before.

        That is a usual amount only if there was a draft in the round before.
        """
        if after_draft:
            self._first.add(seconds[0])
        for step in seconds[1:]:
            self._next.add(step)

    def verified(self, width: int, seconds: float) -> None:
        """Count a forward pass of the target over `width` ids, and what else belongs to a round."""
        passes = self._passes[width]
        if passes == 0:
            seconds = min(seconds, SETTING_UP * self.verification(width))
        if passes <= 1:
            self._by_width[width] = Recent()
        self._passes[width] += 1
        recent = self._by_width[width]
        before = recent.value
        recent.add(seconds)
        if recent.value == before:
            return
        known = {width: recent.value for width, recent in self._by_width.items() if recent.value}
        self._widths = sorted(known)
        self._seconds = _plausible(self._widths, [known[width] for width in self._widths])

    def draft(self, k: float) -> float:
        """Seconds to draft `k` ids, by what is known; 0 if nothing is."""
        step = self.step or 0.0
        return (self._first.value or step) + step * (k - 1)

    def verification(self, width: float) -> float:
        """Seconds of a round without its draft, over `width` ids, between the nearest known.

        Beyond the widest known it is taken not to rise, until a draft has tried it.
        """
        widths, seconds = self._widths, self._seconds
        if not widths or width >= widths[-1]:
            return seconds[-1] if seconds else 0.0
        if width <= widths[0]:
            return seconds[0]
        at = bisect_left(widths, width)
        slope = (seconds[at] - seconds[at - 1]) / (widths[at] - widths[at - 1])
        return seconds[at - 1] + slope * (width - widths[at - 1])


def _plausible(widths: list[int], seconds: list[float]) -> list[float]:
    """Measurements without the effects of interruptions: a width that was met seldom may have more.

    A pass costs no more than a wider one, and no more than several narrower ones of the same width
    in all.

    >>> _plausible([1, 2, 3, 4], [1.0, 9.0, 1.5, 30.0])
    [1.0, 1.5, 1.5, 2.0]
    """
    below_wider = list(accumulate(reversed(seconds), min))[::-1]
    each = list(
        accumulate((cost / width for width, cost in zip(widths, seconds, strict=True)), min)
    )
    return [
        min(cost, width * rate) for width, cost, rate in zip(widths, below_wider, each, strict=True)
    ]
