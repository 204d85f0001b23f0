"""Masks of chains and of trees are the same where a tree is a chain."""

import pytest
import torch

from uag.models.caches.tree import Branches, Tree
from uag.models.masks import FULL, SLIDING, Masks


@pytest.mark.parametrize("additive", [None, torch.float16])
@pytest.mark.parametrize("windows", [[None], [4], [None, 4]])
def test_a_chain_is_a_tree(windows: list[int | None], additive: torch.dtype | None) -> None:
    masks = Masks(windows, additive)
    branches = Branches(6, Tree((-1, 0, 1)).table(3))
    chain = masks(torch.tensor([[6, 7, 8]]), keys=12)
    tree = masks.of_tree(branches, lambda _: torch.arange(12))
    torch.testing.assert_close(tree, chain)


def test_each_kind_of_layer_has_a_mask_over_its_slots() -> None:
    branches = Branches(6, Tree((-1, -1)).table(2))
    masks = Masks([None, 3], None).of_tree(
        branches, lambda window: torch.arange(0 if window is None else 4, 8)
    )
    assert isinstance(masks, dict)
    assert masks[FULL].int().tolist() == [[[[1] * 6 + [1, 0], [1] * 6 + [0, 1]]]]
    assert masks[SLIDING].int().tolist() == [[[[1, 1, 1, 0], [1, 1, 0, 1]]]]
