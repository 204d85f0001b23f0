"""Seconds of a draft step and of a forward pass of the target, measured while decoding."""

from bisect import bisect_left
from collections import Counter, deque
from itertools import accumulate
from statistics import median_low

# Number of measurements in a median: one interruption by another process has no effect, and a
# lasting change shows soon.
MEDIAN_OF = 7
# Drafts without siblings after which their steps are known.
KNOWN_AFTER = 3
# The first pass of a width also sets up kernels for it. Its time counts as at most this many times
# the expected one, and is dropped at the second pass.
SETTING_UP = 2
# A measurement that differs from the one before by no more than this share changes nothing.
SAME = 0.001


class Recent:
    """The lower median of the last `MEDIAN_OF` measurements.

    >>> recent = Recent()
    >>> for seconds in (2.0, 90.0, 3.0): recent.add(seconds)
    >>> recent.value
    3.0
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=MEDIAN_OF)
        self.value: float | None = None

    def add(self, seconds: float) -> None:
        """Add a measurement in seconds."""
        self._seconds.append(seconds)
        self.value = median_low(self._seconds)


class Costs:
    """Seconds of each part of a round: properties of a pair of models, not of a generation.

    Attributes:
        changes: how often anything that is known may have changed.

    >>> costs = Costs()
    >>> for _ in range(3):
    ...     costs.verified(1, 0.5); costs.verified(5, 1.5); costs.drafted([1.0, 0.25])
    >>> costs.plain, costs.verification(3), costs.draft(3)
    (0.5, 1.0, 1.5)
    """

    def __init__(self, *, sets_up_apart: bool = False) -> None:
        """Begin without measurements.

        `sets_up_apart`: whether the seconds of a first pass are without what it set up. Then even
        the very first one counts.
        """
        self.changes = 0
        self._sets_up_apart = sets_up_apart
        self._first, self._next = Recent(), Recent()
        self._drafts = 0
        # Steps without and with siblings, and how much more a pass over branches takes.
        self._steps = Recent(), Recent()
        self._chains = 0
        self._branching = Recent()
        self._by_width: dict[int, Recent] = {}
        self._used: dict[int, float] = {}  # of these, what `_seconds` is computed from
        self._passes: Counter[int] = Counter()
        # Widths of passes over fewer ids, which were padded, by the number of those.
        self._padded: dict[float, int] = {}
        # The widths measured so far, in order, and their seconds.
        self._widths: list[int] = []
        self._seconds: list[float] = []

    @property
    def plain(self) -> float | None:
        """Seconds of a round without a draft; `None` until it was measured."""
        return self._seconds[0] if self._widths[:1] == [1] else None

    @property
    def step(self) -> float | None:
        """Seconds of one more drafted id; `None` until one was measured."""
        return self._next.value if self._next.value is not None else self._first.value

    @property
    def are_steps_known(self) -> bool:
        """Whether more than one draft was measured: the first one also sets up kernels."""
        return self._drafts > 1

    @property
    def knows_chains(self) -> bool:
        """Whether it is known what steps without siblings cost."""
        return self._chains >= KNOWN_AFTER

    @property
    def scoring(self) -> float:
        """Seconds that siblings take at a draft step; 0 until they were measured."""
        bare, scored = (steps.value for steps in self._steps)
        return max(0.0, scored - bare) if bare and scored else 0.0

    @property
    def branching(self) -> float:
        """Seconds that a round takes longer because its candidates are no chain."""
        return max(0.0, self._branching.value or 0.0)

    def forget_steps(self) -> None:
        """Forget what draft steps cost, so that they are measured again."""
        self.changes += 1
        self._first, self._next = Recent(), Recent()

    def drafted(
        self, seconds: list[float], *, after_draft: bool = True, scored: bool = False
    ) -> None:
        """Add the measurements of a draft: the seconds of each id, `scored` with its siblings.

        In its first step the assistant also reads what was emitted since its last draft. That is a
        usual amount only if the previous round had a draft too (`after_draft`). The other steps are
        one measurement: an interruption would be in all of them, as a device shows only how long
        they took together.
        """
        self.changes += 1
        if after_draft:
            self._first.add(seconds[0])
        self._drafts += 1
        self._chains += not scored
        if len(seconds) > 1:
            usual = median_low(seconds[1:])
            self._next.add(usual)
            self._steps[scored].add(usual)
        elif self.step is not None and seconds[0] < self.step:
            # It reads at least as much as another one, which so takes no longer.
            self._next.add(seconds[0])

    def verified(self, width: int, seconds: float, *, branches: bool = False) -> None:
        """Add the seconds of a round without its draft; its pass was over `width` ids.

        `branches`: whether these were no chain. Then what is known of the width shows what that
        costs.
        """
        passes = self._passes[width]
        if branches:
            self.changes += 1
            if passes > 1:
                self._branching.add(seconds - self.verification(width))
                return
            seconds -= self.branching
        if passes == 0 and (self._widths or not self._sets_up_apart):
            seconds = min(seconds, SETTING_UP * self.verification(width))
        if passes <= 1:
            self._by_width[width] = Recent()
        self._passes[width] += 1
        recent = self._by_width[width]
        recent.add(seconds)
        if recent.value is None or self._is_used(width, recent.value):
            return
        self.changes += 1
        self._used[width] = recent.value
        self._widths = sorted(self._used)
        self._seconds = _plausible(self._widths, [self._used[width] for width in self._widths])

    def _is_used(self, width: int, seconds: float) -> bool:
        """Whether this is about what is known of a width, so that nothing need be computed anew."""
        used = self._used.get(width, 0.0)
        return abs(seconds - used) <= SAME * used

    def padded(self, ids: int, width: int) -> None:
        """Remember that a pass over so many ids is of this width: captured passes have only few."""
        if width > ids and self._padded.get(ids) != width:
            self.changes += 1
            self._padded[ids] = width

    def filled(self, ids: int) -> int:
        """How many ids a pass over so many is known to have room for, in its padding."""
        return self._padded.get(ids, ids)

    def narrower(self, ids: int) -> list[int]:
        """The widths measured so far of passes over fewer ids, of which some are candidates."""
        return [width for width in self._widths if 1 < width < ids]

    def draft(self, k: float) -> float:
        """Estimated seconds to draft `k` ids; 0 if nothing is known."""
        step = self.step or 0.0
        return (self._first.value or step) + step * (k - 1)

    def verification(self, width: float) -> float:
        """Estimated seconds of a round without its draft, whose pass is over `width` ids.

        The estimate is interpolated between the nearest widths measured. Beyond the widest one it
        is assumed not to rise, so that wider passes are tried. A mean width is always interpolated,
        as the passes that it stands for are of several widths.
        """
        width = self._padded.get(width, width)
        widths, seconds = self._widths, self._seconds
        if not widths or width >= widths[-1]:
            return seconds[-1] if seconds else 0.0
        if width <= widths[0]:
            return seconds[0]
        at = bisect_left(widths, width)
        slope = (seconds[at] - seconds[at - 1]) / (widths[at] - widths[at - 1])
        return seconds[at - 1] + slope * (width - widths[at - 1])


def _plausible(widths: list[int], seconds: list[float]) -> list[float]:
    """Lower implausible measurements, such as an interrupted pass of a width that is seldom used.

    A pass costs at most as much as a wider one, and at most as much as several narrower ones of the
    same total width.

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
