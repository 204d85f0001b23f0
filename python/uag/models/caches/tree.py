"""A tree of ids that one pass reads: which id each of them follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tree:
    """Which id each node follows; in a chain, each follows the one before it.

    >>> tree = Tree((-1, 0, 0))
    >>> len(tree), tree.is_chain, tree.has_path([0, 2]), tree.has_path([0, 1, 2])
    (3, False, True, False)

    Attributes:
        parents: for each node the index of the one that it follows, which is smaller than its own;
            -1 where it follows the last id before the tree.

    Raises:
        ValueError: if a node follows itself or a later one.
    """

    parents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for at, parent in enumerate(self.parents):
            if not -1 <= parent < at:
                raise ValueError(f"node {at} follows node {parent}; it must be one from -1 on")

    @classmethod
    def of(cls, parents: Iterable[int]) -> Self:
        """The tree with these parents."""
        return cls(tuple(parents))

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def is_chain(self) -> bool:
        """Whether it has no branches."""
        return all(parent == at - 1 for at, parent in enumerate(self.parents))

    def has_path(self, nodes: Sequence[int]) -> bool:
        """Whether each of the nodes follows the one before it, and the first one none."""
        steps = pairwise([-1, *nodes])
        return all(0 <= node < len(self) and self.parents[node] == last for last, node in steps)

    def after(self, count: int) -> "Tree":
        """The same tree at the end of a chain of `count` ids.

        >>> Tree((-1, -1)).after(2)
        Tree(parents=(-1, 0, 1, 1))
        """
        return Tree((*range(-1, count - 1), *(parent + count for parent in self.parents)))

    def table(self, width: int) -> Tensor:
        """What a pass is told of the tree, `[1 + width, width]`: depths, then what each node sees.

        That is 1 for the nodes of its path and itself. Padding is like the last node.

        >>> Tree((-1, 0, 0)).table(4).tolist()
        [[0, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]]
        """
        table: Any = np.zeros((1 + width, width), dtype=np.int64)
        depths, sees = table[0], table[1:]
        for at, parent in enumerate(self.parents):
            if parent >= 0:
                sees[at] = sees[parent]
                depths[at] = depths[parent] + 1
            sees[at, at] = 1
        count = len(self)
        depths[count:], sees[count:] = depths[count - 1], sees[count - 1]
        return cast("Any", torch).from_numpy(table)


@dataclass(frozen=True, slots=True)
class Branches:
    """Where the ids of a pass over a tree are in a text.

    >>> branches = Branches(7, Tree((-1, 0, 0)).table(3))
    >>> branches.positions.tolist()
    [7, 8, 8]

    Attributes:
        begin: how many ids are before them: a number, or a tensor without axes.
        table: see `Tree.table`.
    """

    begin: int | Tensor
    table: Tensor

    @property
    def positions(self) -> Tensor:
        """The position of each id, `[width]`."""
        return self.table[0] + self.begin

    def seen(self, slots: Tensor, window: int | None) -> Tensor:
        """Which slots each id attends to, `[slots]` -> `[width, slots]`.

        The ids of the pass are in the slots from `begin` on. A window counts positions.
        """
        depths, sees = self.table[0], self.table[1:].bool()
        node = slots - self.begin
        own = node.clamp(0, len(depths) - 1)
        seen = (node < 0) | ((node < len(depths)) & sees[:, own])
        if window is None:
            return seen
        distances = depths[:, None] - torch.where(node < 0, node, depths[own])
        return seen & (distances < window)
