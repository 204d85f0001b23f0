"""What the assistant believes of the place of a drafted id: the likeliest ids there."""

from typing import Any, cast

from torch import Tensor

from uag.draft import Scored
from uag.sampling.coupled import DraftShape

# How many ids there are at most beside the drafted one, and the least chance of each.
SIBLINGS, LEAST = 8, 0.01


class Alternatives:
    """Scores a drafted id and its siblings: what a target with the same options might choose.

    >>> score = Alternatives(DraftShape())
    >>> [(id, round(chance, 2)) for id, chance in score(torch.tensor([[0.0, 2.0, 3.0]]), 2)]
    [(2, 0.71), (1, 0.26), (0, 0.04)]
    """

    def __init__(self, shape: DraftShape) -> None:
        """`shape`: the sampling options of the target."""
        self._shape = shape

    def __call__(self, logits: Tensor, id: int) -> list[Scored]:
        """The drafted `id`, then the others, with their chances: `[1, vocabulary]` logits.

        A chance is 0 where the logits are NaN, or where the options leave out the drafted id.
        """
        scores, ids = self._shape(logits[0])
        chances = scores.softmax(-1)
        found: list[Scored] = [*zip(_listed(ids), _listed(chances), strict=True)]
        own = next((chance for other, chance in found if other == id), 0.0)
        others = [each for each in found[: SIBLINGS + 1] if each[0] != id and each[1] >= LEAST]
        return [(id, own if own <= 1 else float(own > 1)), *others[:SIBLINGS]]


def _listed(values: Tensor) -> list[Any]:
    return cast("Any", values).tolist()
