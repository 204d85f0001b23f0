"""What a pass is told of a tree is what its parents say."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees import parents, path_to
from uag.models.caches.tree import Branches, Tree


@given(parents, st.integers(0, 4), st.integers(0, 4))
def test_each_node_is_told_its_path(parents: Sequence[int], before: int, padding: int) -> None:
    tree = Tree.of(parents).after(before)
    table = tree.table(len(tree) + padding).tolist()
    for node in range(len(tree)):
        path = path_to(node, tree.parents)
        assert table[0][node] == len(path) - 1
        assert [at for at, seen in enumerate(table[1 + node]) if seen] == path
    for of in (table[0], table[1:]):
        assert of[len(tree) :] == [of[len(tree) - 1]] * padding


@given(parents, st.lists(st.integers(-2, 9), max_size=3))
def test_a_path_leads_from_parent_to_child(parents: Sequence[int], nodes: list[int]) -> None:
    paths = [path_to(node, parents) for node in range(-1, len(parents))]
    assert all(Tree.of(parents).has_path(path) for path in paths)
    assert Tree.of(parents).has_path(nodes) == (nodes in paths)


@given(parents, st.integers(0, 12), st.none() | st.integers(1, 9), st.integers(0, 3))
def test_a_window_counts_positions(
    parents: Sequence[int], begin: int, window: int | None, first: int
) -> None:
    tree = Tree.of(parents)
    slots = [*range(min(first, begin), begin + len(tree) + 2)]
    seen = Branches(begin, tree.table(len(tree))).seen(torch.tensor(slots), window)
    for node in range(len(tree)):
        path = path_to(node, parents)
        places = [*range(begin), *(begin + at for at in path)]  # of each position
        visible = set(places if window is None else places[-window:])
        assert seen[node].tolist() == [slot in visible for slot in slots]


@pytest.mark.parametrize("parents", [(0,), (-1, 2, 0), (-2,)])
def test_a_node_stands_after_its_parent(parents: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="follows node"):
        Tree(parents)


def test_only_a_chain_is_one() -> None:
    assert Tree().is_chain
    assert Tree((-1, 0, 1)).is_chain
    assert not Tree((-1, 0, 0)).is_chain
    assert not Tree((-1, -1)).is_chain
