"""Greedy decoding: the likeliest id of each row."""

from collections.abc import Callable

from torch import Tensor

from uag.models.cached_lm import Choose

# (scores, ids, end) -> an id for each row of scores, of which row `r` is for what follows
# `ids[:end + r]`; -1 where they allow none.
Pick = Callable[[Tensor, list[int], int], Tensor]


def most_likely(scores: Tensor, ids: list[int], end: int) -> Tensor:
    """Greedy decoding's `Pick`."""
    del ids, end
    best = scores.max(-1)
    return best.indices.where(~best.values.isnan(), -1)


# Gives each draft its way to choose ids.
Choice = Callable[[], Choose]


def most_likely_draft() -> Choose:
    """Greedy decoding's `choice`."""
    return lambda logits: logits.argmax(-1)
