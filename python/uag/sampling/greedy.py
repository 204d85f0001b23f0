"""Greedy decoding: the likeliest id of each row."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from uag.models.caches.protocol import Choose, StaticChoose

# Chooses the target's ids: (scores, ids, end) -> one id for each row of scores. Row `r` has the
# scores of what follows `ids[:end + r]`; the id is -1 if they allow no token.
Pick = Callable[[Tensor, list[int], int], Tensor]


def most_likely(scores: Tensor, ids: list[int], end: int) -> Tensor:
    """The `Pick` of greedy decoding.

    >>> most_likely(torch.tensor([[0.1, 0.7], [0.9, 0.2]]), ids=[], end=0)
    tensor([1, 0])
    """
    del ids, end
    best = scores.max(-1)
    return best.indices.where(best.values >= -torch.inf, -1)  # not where it is NaN


# Called at the start of each draft; returns the function that chooses its ids.
Choice = Callable[[], Choose]


class MostLikely(StaticChoose):
    """The `StaticChoose` of greedy decoding.

    >>> choose = most_likely_draft()
    >>> choose(torch.tensor([[0.1, 0.7]]))
    tensor([1])
    """

    kind = "most likely"
    state: Sequence[Tensor] = ()

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1)

    def copy(self) -> Self:
        return self


def most_likely_draft() -> Choose:
    """The `Choice` of greedy decoding."""
    return MostLikely()
