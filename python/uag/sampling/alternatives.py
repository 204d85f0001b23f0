"""What the assistant believes of the place of a drafted id: the likeliest ids there."""

from typing import Any, cast

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
        likeliest, bits = told[:, 1:].chunk(2, -1)
        chances = bits.to(torch.int32).view(torch.float32)
        lists = (_listed(each) for each in (told[:, 0], likeliest, chances))
        return [_scored(*place) for place in zip(*lists, strict=True)]


def _scored(id: int, likeliest: list[int], chances: list[float]) -> list[Scored]:
    own = chances[likeliest.index(id)] if id in likeliest else 0.0
    first = zip(likeliest[: SIBLINGS + 1], chances, strict=False)
    others = [each for each in first if each[0] != id and each[1] >= LEAST]
    return [(id, own if own <= 1 else float(own > 1)), *others[:SIBLINGS]]


def _listed(values: Tensor) -> list[Any]:
    return cast("Any", values).tolist()
