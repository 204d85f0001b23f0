"""How likely each candidate of a tree is: by the assistant alone, or by the target's noise too."""

from collections.abc import Callable
from math import exp, log

from uag._core import TreeProposal
from uag.sampling.coupled import Sampler

# (tree, ids) -> for each candidate the chance that the target chooses it after its parent, where
# the tree continues `ids`.
Rank = Callable[[TreeProposal, list[int]], list[float]]

# How far the assistant's log-probabilities are from the target's: the scale of Gumbel noise. From
# 0.5 to 0.8, trees of the same size gave as many tokens.
ERROR = 0.8
# The noise of everything that is no candidate: the mean of a Gumbel distribution.
MEAN_NOISE = 0.577


def by_weight(proposal: TreeProposal, ids: list[int]) -> list[float]:
    """The `Rank` of greedy decoding: what the assistant believes."""
    del ids
    weights = proposal.weights
    return [
        weight / before if (before := weights[parent] if parent >= 0 else 1.0) else 0.0
        for parent, weight in zip(proposal.parents, weights, strict=True)
    ]


class ByNoise:
    """The `Rank` of coupled sampling: the assistant's belief, and the target's own noise.

    The target takes the largest of score and noise, and its noise is known. So the candidates after
    a parent compete by what the assistant believes of them plus that noise. What the assistant
    believes of all other ids competes as one.
    """

    def __init__(self, sampler: Sampler) -> None:
        """`sampler`: the target's."""
        self._sampler = sampler

    def __call__(self, proposal: TreeProposal, ids: list[int]) -> list[float]:
        parents, believed = proposal.parents, by_weight(proposal, ids)
        noise = self._sampler.noise(proposal.ids, parents, ids)
        rest: dict[int, float] = {}
        for parent, chance in zip(parents, believed, strict=True):
            rest[parent] = rest.get(parent, 1.0) - chance
        masses = [_mass(chance, each) for chance, each in zip(believed, noise, strict=True)]
        sums = {parent: _mass(chance, MEAN_NOISE) for parent, chance in rest.items()}
        for parent, mass in zip(parents, masses, strict=True):
            sums[parent] += mass
        return [
            mass / sums[parent] if mass else 0.0
            for parent, mass in zip(parents, masses, strict=True)
        ]


def _mass(chance: float, noise: float) -> float:
    """What a child of this chance counts against its siblings."""
    return exp((log(chance) + noise) / ERROR) if chance > 0 else 0.0
