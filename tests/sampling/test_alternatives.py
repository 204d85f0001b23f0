"""Siblings of a drafted id are the likeliest others, with the chances of the target's options."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uag.draft import Scored
from uag.sampling.alternatives import LEAST, SIBLINGS, Alternatives
from uag.sampling.coupled import DRAFT_TOKENS, DraftShape


def scored(shape: DraftShape, logits: torch.Tensor, id: int) -> list[Scored]:
    """An id and its siblings, after `[1, vocabulary]` logits."""
    score = Alternatives(shape)
    (place,) = score.read(score(logits, torch.tensor([id])))
    return place


@given(st.integers(0, 999), st.integers(0, 39), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_likeliest_ids_beside_any(seed: int, id: int, temperature: float) -> None:
    logits = 4 * torch.randn(1, 40, generator=torch.Generator().manual_seed(seed))
    (own, chance), *others = scored(DraftShape(temperature), logits, id)
    chances = (logits[0] / temperature).softmax(-1)
    assert (own, chance) == (id, pytest.approx(float(chances[id]), rel=1e-5))
    left = sorted(
        ((float(each), at) for at, each in enumerate(chances) if at != id and each >= LEAST),
        reverse=True,
    )
    assert [at for at, _ in others] == [at for _, at in left][: len(others)]
    assert len(others) == min(SIBLINGS, len(left))


def test_options_leave_ids_out() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    found = dict(scored(DraftShape(top_k=2), logits, 3))
    assert found[3] == 0.0 and {*found} == {3, 0, 1}
    assert sum(found.values()) == pytest.approx(1)


def test_nan_and_large_vocabularies() -> None:
    assert scored(DraftShape(), torch.full((1, 9), torch.nan), 4) == [(4, 0.0)]
    flat = scored(DraftShape(), torch.zeros(1, 2 * DRAFT_TOKENS), 0)
    assert all(0 <= chance <= 1 for _, chance in flat)
