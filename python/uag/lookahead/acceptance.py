"""Estimates how often drafted ids are accepted, from the rounds so far."""

from math import log2

# Each observation has this fraction of the next one's weight.
DECAY = 0.98
# Where drafts are no longer tried because they failed, observations keep this fraction of their
# weight each time that a draft was possible.
SLOW_DECAY = 0.998


class AcceptanceEstimator:
    """Estimates the chance that a drafted id is accepted if those before it are.

    The estimate depends on the assistant's confidence, its probability of the id. Confidences are
    sorted into bins by their odds, one for each factor of two. Each bin learns its own rate of
    acceptance, with the confidence itself as the prior.

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
        """Count a drafted id, all ids before it having been accepted."""
        at = self._bin(confidence)
        self._accepted[at] = DECAY * self._accepted[at] + accepted
        self._seen[at] = DECAY * self._seen[at] + 1
        self._all_accepted += accepted
        self._all_seen += 1

    def forget(self) -> None:
        """Call this after each round with a draft: old observations count less in `mean`."""
        self._all_accepted *= DECAY
        self._all_seen *= DECAY

    def forget_bins(self) -> None:
        """Reduce the weight of observations in every bin, so that `chance` returns to its prior.

        Otherwise ids that are no longer drafted, since they failed before, would never be tried
        again.
        """
        self._accepted = [SLOW_DECAY * accepted for accepted in self._accepted]
        self._seen = [SLOW_DECAY * seen for seen in self._seen]

    def chance(self, confidence: float) -> float:
        """The chance that an id of this confidence is accepted."""
        at = self._bin(confidence)
        return (self._accepted[at] + self.PRIOR * confidence) / (self._seen[at] + self.PRIOR)

    def mean(self, expected: float = 0.5) -> float:
        """The chance for an id of unknown confidence; `expected` before any observation."""
        return (self._all_accepted + self.PRIOR * expected) / (self._all_seen + self.PRIOR)

    def _bin(self, confidence: float) -> int:
        odds = max(confidence, 2**-20) / max(1 - confidence, 2**-20)
        return min(max(round(log2(odds)) + self.BINS // 3, 0), self.BINS - 1)
