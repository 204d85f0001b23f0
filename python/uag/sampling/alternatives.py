"""What the assistant believes of the place of a drafted id: the likeliest ids there."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from uag.draft import Scored
from uag.sampling.coupled import DraftShape

# How many ids there are at most beside the drafted one, and the least chance of each.
SIBLINGS, LEAST = 8, 0.01


class Alternatives:
    """Scores drafted ids and their siblings: what a target with the same options might choose.

    >>> score = Alternatives(DraftShape())
    >>> told = score(torch.tensor([[0.0, 2.0, 3.0]]), torch.tensor([2]))
    >>> [[(id, round(chance, 2)) for id, chance in place] for place in score.read(told)]
    [[(2, 0.71), (1, 0.26), (0, 0.04)]]
    """

    def __init__(self, shape: DraftShape) -> None:
        """`shape`: the sampling options of the target."""
        self._shape = shape

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Each drafted id, the likeliest ones, and the bits of the chances of these.

        `[steps, vocabulary]`, `[steps]` -> `[steps, numbers]`: one tensor comes to the host in one
        go. Nothing waits for the device.
        """
        scores, likeliest = self._shape(logits)
        chances = scores.softmax(-1)
        return torch.cat([ids[:, None], likeliest, chances.view(torch.int32).long()], -1)

    def read(self, told: Tensor) -> list[list[Scored]]:
        """Each drafted id, then the others, with their chances.

        A chance is 0 where the logits are NaN, or where the options leave out the drafted id.
        """
        numbers: Any = cast("Any", told).numpy()  # of few numbers, faster than a tensor
        ids, (likeliest, bits) = numbers[:, :1], np.split(numbers[:, 1:], 2, -1)
        chances = bits.astype(np.int32).view(np.float32)
        own = np.where(likeliest == ids, chances, 0).sum(-1)
        first = SIBLINGS + 1
        lists = ids[:, 0], own, likeliest[:, :first], chances[:, :first]
        return [_scored(*place) for place in zip(*(each.tolist() for each in lists), strict=True)]


def _scored(id: int, own: float, likeliest: list[int], chances: list[float]) -> list[Scored]:
    others = zip(likeliest, chances, strict=True)
    siblings = [each for each in others if each[0] != id and each[1] >= LEAST]
    return [(id, own if own <= 1 else float(own > 1)), *siblings[:SIBLINGS]]
