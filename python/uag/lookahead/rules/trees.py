"""How many candidates of a tree to verify: their chances against the cost of a wider pass."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from uag.lookahead.acceptance import AcceptanceEstimator
from uag.lookahead.costs import Costs
from uag.lookahead.rules.lookups import REQUIRED_GAIN

# Numbers of candidates that are considered: with one id more, the usual widths of a pass.
SIZES = (1, 2, 3, 4, 5, 6, 7, 11, 15, 23, 31)
# A candidate that is reached with a smaller chance than this counts as one that never is.
SELDOM = 0.003
# Drafts by which trees are judged; and if they gained less than it costs to score siblings, how
# many drafts at least and at most go without.
JUDGED_BY = 16
SHORT_PAUSE, LONG_PAUSE = 64, 1024


@dataclass(frozen=True, slots=True)
class Heaviest:
    """A `TreeJudge` that chooses the same number of candidates always, the likeliest.

    A chain of more is left as it is.

    >>> Heaviest(2).prune([-1, 0, -1], [0.5, 0.5, 0.4], 9, [0, 1])
    ([0.5, 0.25, 0.4], 2)
    """

    count: int

    def branches(self) -> bool:
        return True

    def fit(self, ids: int, looked_up: bool) -> int:
        del looked_up
        return ids

    def prune(
        self, parents: list[int], chances: list[float], most: int, chain: list[int]
    ) -> tuple[list[float], int]:
        count = min(self.count, most)
        if len(chain) > count:
            return only(chain, len(chances)), len(chain)
        return reached(parents, chances), count


class TreeRule:
    """Chooses the candidates of a tree, and learns how often those of each chance are accepted.

    >>> costs = Costs()
    >>> for _ in range(3):
    ...     costs.verified(1, 1.0); costs.verified(3, 1.2); costs.verified(4, 1.6)
    >>> TreeRule().best([-1, 0, -1], [0.6, 0.6, 0.3], 3, [0, 1], 1.0, costs)[1]
    2
    """

    def __init__(self) -> None:
        self._first, self._later = AcceptanceEstimator(), AcceptanceEstimator()
        # Tokens that recent trees gained over their chains, less what their siblings cost.
        self._gained: deque[float] = deque(maxlen=JUDGED_BY)
        # How many drafts of the pause are left, and the length of the last one.
        self._wait = self._pause = 0

    def due(self) -> bool:
        """Whether the next draft comes with siblings."""
        self._wait = max(0, self._wait - 1)
        return not self._wait

    def best(
        self,
        parents: list[int],
        chances: list[float],
        most: int,
        chain: list[int],
        rate: float,
        costs: Costs,
    ) -> tuple[list[float], int]:
        """For each candidate a weight, and how many to verify: the likeliest, or the chain.

        A second counts as `rate` tokens. Where there are any, at least one is verified, as nothing
        would be learned without. What would be padding is filled.
        """
        weights: list[float] = []
        for parent, chance in zip(parents, chances, strict=True):
            before = weights[parent] if parent >= 0 else 1.0
            worth = before * chance >= SELDOM
            weights.append(before * self._estimator(parent).chance(chance) if worth else 0.0)
        plain = costs.verification(1)

        def gain(tokens: float, size: int) -> float:
            return tokens - REQUIRED_GAIN * rate * (costs.verification(1 + size) - plain)

        def largest(tokens: list[float], sizes: Iterable[int]) -> tuple[float, int]:
            fitting = (size for size in sizes if size <= len(tokens))
            return max((gain(tokens[size - 1], size), size) for size in fitting)

        if not most:
            return weights, 0
        gained, size = largest([*accumulate(sorted(weights, reverse=True)[:most])], SIZES)
        # A chain may be longer than a tree, and costs less than one of its size.
        if chain:
            sizes = {*SIZES, len(chain)}
            followed, length = largest([*accumulate(weights[at] for at in chain)], sizes)
            more = gained - followed - rate * costs.branching
            self._judge(max(0.0, more) - rate * costs.scoring * len(chain))
            if more <= 0:
                return only(chain[:length], len(weights)), length
        return weights, min(most, costs.filled(1 + size) - 1)

    def learn(self, choices: Iterable[tuple[int, float, bool]]) -> None:
        """Count what became of candidates; see `Judged.choices`."""
        for depth, chance, accepted in choices:
            self._estimator(depth - 1).observe(chance, accepted=accepted)

    def _judge(self, gained: float) -> None:
        """Count what a tree gained over its chain; begin a pause if trees don't pay."""
        self._gained.append(gained)
        if len(self._gained) < JUDGED_BY:
            return
        if sum(self._gained) >= 0:
            self._pause = 0
            return
        self._wait = self._pause = min(max(2 * self._pause, SHORT_PAUSE), LONG_PAUSE)
        self._gained.clear()

    def _estimator(self, parent: int) -> AcceptanceEstimator:
        return self._first if parent < 0 else self._later


def only(chain: list[int], count: int) -> list[float]:
    """Weights of `count` candidates by which those of a chain are chosen.

    >>> only([0, 2], 3)
    [1.0, 0.0, 1.0]
    """
    chosen = {*chain}
    return [float(at in chosen) for at in range(count)]


def reached(parents: list[int], chances: list[float]) -> list[float]:
    """The chance of each node with all that it follows.

    >>> reached([-1, 0, 0], [0.5, 0.5, 0.25])
    [0.5, 0.25, 0.125]
    """
    weights: list[float] = []
    for parent, chance in zip(parents, chances, strict=True):
        weights.append((weights[parent] if parent >= 0 else 1.0) * chance)
    return weights
