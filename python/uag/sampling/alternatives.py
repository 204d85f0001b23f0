"""What the assistant believes of the place of a drafted id: the likeliest ids there."""

from collections.abc import Hashable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from uag.draft import Scored
from uag.models.caches.protocol import StaticChoose
from uag.sampling.coupled import DraftShape

# How many ids there are at most beside the drafted one, and the least chance of each.
SIBLINGS, LEAST = 8, 0.01


class Alternatives:
    """Scores drafted ids and their siblings: what a target with the same options might choose.

    >>> score = Alternatives(DraftShape())
    >>> choose = score.beside(most_likely_draft(), torch.device("cpu"))
    >>> chosen = choose(torch.tensor([[0.0, 2.0, 3.0]]))
    >>> [[(id, round(chance, 2)) for id, chance in place] for place in score.read(chosen[None])]
    [[(2, 0.71), (1, 0.26), (0, 0.04)]]
    """

    def __init__(self, shape: DraftShape) -> None:
        """`shape`: the sampling options of the target."""
        self._shape = shape

    def beside(self, choose: StaticChoose, device: torch.device) -> "Beside":
        """What chooses the same ids, and tells of each what others are likely there.

        `device`: that of the logits.
        """
        # Filled on the device: a tensor made of a number of the host's would wait for it.
        heat = torch.full((), self._shape.temperature, dtype=torch.float32, device=device)
        return Beside(choose, self._shape, heat)

    def read(self, chosen: Tensor) -> list[list[Scored]]:
        """Each drafted id, then the others, with their chances: `[steps, numbers]` on the host.

        A chance is 0 where the logits are NaN, or where the options leave out the drafted id.
        """
        count = chosen.shape[1] // 2
        ids, bits = chosen[:, : 1 + count], chosen[:, 1 + count :]
        chances = _listed(bits.to(torch.int32).view(torch.float32))
        return [
            _scored(id, likeliest, place)
            for (id, *likeliest), place in zip(_listed(ids), chances, strict=True)
        ]


class Beside:
    """A `StaticChoose` that also tells of others: `[1, vocabulary]` -> `[numbers]`.

    The drafted id, the likeliest ones, and the bits of the chances of these: one tensor comes to
    the host in one go.

    Attributes:
        kind: see `StaticChoose`.
        state: that of what chooses, and the target's temperature.
    """

    kind: Hashable
    state: Sequence[Tensor]

    def __init__(self, choose: StaticChoose, shape: DraftShape, temperature: Tensor) -> None:
        """`shape`: its temperature is `temperature`, without axes."""
        self.kind = "beside", choose.kind, shape.top_k, shape.top_p, shape.min_p
        self.state = (*choose.state, temperature)
        self._choose = choose
        self._shape = shape

    def __call__(self, logits: Tensor) -> Tensor:
        id = self._choose(logits)
        scores, ids = self._shape(logits[0], self.state[-1])
        return torch.cat([id, ids, scores.softmax(-1).view(torch.int32)])

    def copy(self) -> "Beside":
        return Beside(self._choose.copy(), self._shape, self.state[-1].clone())


def _scored(id: int, likeliest: list[int], chances: list[float]) -> list[Scored]:
    """A drafted id, and of the likeliest the others, without those of too small a chance."""
    own = chances[likeliest.index(id)] if id in likeliest else 0.0
    first = zip(likeliest[: SIBLINGS + 1], chances, strict=False)
    others = [each for each in first if each[0] != id and each[1] >= LEAST]
    return [(id, own if own <= 1 else float(own > 1)), *others[:SIBLINGS]]


def _listed(values: Tensor) -> list[Any]:
    return cast("Any", values).tolist()
