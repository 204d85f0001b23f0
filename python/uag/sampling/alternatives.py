"""What the assistant believes of the place of a drafted id: the likeliest ids there."""

from collections.abc import Hashable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from uag.draft import Scored
from uag.models.caches.protocol import StaticChoose
from uag.sampling.coupled import DraftShape

# How many ids there are at most beside the drafted one, and the least chance of each.
SIBLINGS, LEAST = 8, 0.01
# Ids of a place: the drafted one, and the likeliest, which may be it again.
IDS = 1 + SIBLINGS + 1


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
        ids, chances = chosen[:, :IDS], chosen[:, IDS:].to(torch.int32).view(torch.float32)
        return [
            _scored([*zip(*place, strict=True)])
            for place in zip(_listed(ids), _listed(chances), strict=True)
        ]


class Beside:
    """A `StaticChoose` that also tells of others: `[1, vocabulary]` -> `[numbers]`.

    The drafted id and the likeliest ones, and then the bits of their chances, as one tensor comes
    to the host in one go.

    Attributes:
        kind, numbers: see `StaticChoose`.
        state: that of what chooses, and the target's temperature.
    """

    kind: Hashable
    numbers = 2 * IDS
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
        chances = scores.softmax(-1)
        own = chances.where(ids == id, 0).sum()[None]
        fewer = (0, max(0, IDS - 1 - len(ids)))
        ids, chances = (
            torch.cat([first, pad(others[: IDS - 1], fewer)])
            for first, others in ((id, ids), (own, chances))
        )
        return torch.cat([ids, chances.view(torch.int32).long()])

    def copy(self) -> "Beside":
        return Beside(self._choose.copy(), self._shape, self.state[-1].clone())


def _scored(found: list[Scored]) -> list[Scored]:
    """Without those that are too seldom, or the drafted one again."""
    (id, own), *likeliest = found
    others = [each for each in likeliest if each[0] != id and each[1] >= LEAST]
    return [(id, own if own <= 1 else float(own > 1)), *others[:SIBLINGS]]


def _listed(values: Tensor) -> list[Any]:
    return cast("Any", values).tolist()
