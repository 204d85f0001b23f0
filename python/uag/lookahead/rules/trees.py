"""How many candidates of a tree to verify: their chances against the cost of a wider pass."""

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


@dataclass(frozen=True, slots=True)
class Heaviest:
    """A `TreeJudge` that chooses the same number of candidates always, the likeliest.

    >>> Heaviest(2).prune([-1, 0, -1], [0.5, 0.5, 0.4], 9)
    ([0.5, 0.25, 0.4], 2)
    """

    count: int

    def prune(self, parents: list[int], chances: list[float], most: int) -> tuple[list[float], int]:
        return reached(parents, chances), min(self.count, most)


class TreeRule:
    """Chooses the candidates of a tree, and learns how often those of each chance are accepted.

    >>> costs = Costs(); costs.verified(1, 1.0); costs.verified(3, 1.2); costs.verified(4, 5.0)
    >>> TreeRule().best([-1, 0, -1], [0.6, 0.6, 0.3], 3, 1.0, costs)[1]
    2
    """

    def __init__(self) -> None:
        self._first, self._later = AcceptanceEstimator(), AcceptanceEstimator()

    def best(
        self, parents: list[int], chances: list[float], most: int, rate: float, costs: Costs
    ) -> tuple[list[float], int]:
        """For each candidate the chance that it is accepted, and how many to verify.

        A second counts as `rate` tokens. Where there are any, at least one is verified, as nothing
        would be learned without.
        """
        weights: list[float] = []
        for parent, chance in zip(parents, chances, strict=True):
            before = weights[parent] if parent >= 0 else 1.0
            worth = before * chance >= SELDOM
            weights.append(before * self._estimator(parent).chance(chance) if worth else 0.0)
        gains = [*accumulate(sorted(weights, reverse=True))]
        plain = costs.verification(1)
        best, most_gained = min(1, most), 0.0
        for size in [size for size in SIZES if size <= min(most, len(gains))]:
            price = REQUIRED_GAIN * rate * (costs.verification(1 + size) - plain)
            if gains[size - 1] - price > most_gained:
                best, most_gained = size, gains[size - 1] - price
        return weights, best

    def learn(self, choices: Iterable[tuple[int, float, bool]]) -> None:
        """Count what became of candidates; see `Judged.choices`."""
        for depth, chance, accepted in choices:
            self._estimator(depth - 1).observe(chance, accepted=accepted)

    def _estimator(self, parent: int) -> AcceptanceEstimator:
        return self._first if parent < 0 else self._later


def reached(parents: list[int], chances: list[float]) -> list[float]:
    """The chance of each node with all that it follows.

    >>> reached([-1, 0, 0], [0.5, 0.5, 0.25])
    [0.5, 0.25, 0.125]
    """
    weights: list[float] = []
    for parent, chance in zip(parents, chances, strict=True):
        weights.append((weights[parent] if parent >= 0 else 1.0) * chance)
    return weights
