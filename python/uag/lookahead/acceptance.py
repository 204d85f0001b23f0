"""How often drafted ids are right, learnt while running."""

from math import log2

# Each observation weighs this fraction of the next one.
DECAY = 0.98
# And what wasn't tried because it was bad, so much of itself each time.
SLOW_DECAY = 0.998


class AcceptanceEstimator:
    """How often a drafted id is accepted, once those before it are, by the assistant's confidence.

    Confidences are sorted by their odds, a factor of two a bin, and each bin learns its own rate,
    starting from the confidence itself.

    >>> estimator = AcceptanceEstimator()
    >>> for _ in range(50): estimator.observe(0.95, accepted=False)
    >>> estimator.chance(0.95) < 0.1 < estimator.chance(0.5)
    True
    """

    BINS = 12
    PRIOR = 2.0

    def __init__(self) -> None:
        self._accepted, self._seen = [0.0] * self.BINS, [0.0] * self.BINS
        self._all_accepted, self._all_seen = 0.0, 0.0

    def observe(self, confidence: float, *, accepted: bool) -> None:
        """Count a drafted id behind accepted ones."""
        at = self._bin(confidence)
        self._accepted[at] = DECAY * self._accepted[at] + accepted
        self._seen[at] = DECAY * self._seen[at] + 1
        self._all_accepted += accepted
        self._all_seen += 1

    def forget(self) -> None:
        """A round has passed: what was seen long ago tells less about the next id."""
        self._all_accepted *= DECAY
        self._all_seen *= DECAY

    def forget_bins(self) -> None:
        """The same for each bin: what is not drafted any more comes back to what it promised."""
        self._accepted = [SLOW_DECAY * accepted for accepted in self._accepted]
        self._seen = [SLOW_DECAY * seen for seen in self._seen]

    def chance(self, confidence: float) -> float:
        """The chance that such an id is accepted."""
        at = self._bin(confidence)
        return (self._accepted[at] + self.PRIOR * confidence) / (self._seen[at] + self.PRIOR)

    def mean(self, expected: float = 0.5) -> float:
        """The chance for an id whose confidence is not known, `expected` if nothing was seen."""
        return (self._all_accepted + expected) / (self._all_seen + 1)

    def _bin(self, confidence: float) -> int:
        odds = max(confidence, 2**-20) / max(1 - confidence, 2**-20)
        return min(max(round(log2(odds)) + self.BINS // 3, 0), self.BINS - 1)
