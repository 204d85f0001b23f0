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
        for at, parent in enumerate(() if self.is_chain else self.parents):
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
        return self.parents == (*range(-1, len(self.parents) - 1),)

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
        depths: list[int] = []
        sees: list[int] = []  # a bit for each node
        for at, parent in enumerate(self.parents):
            depths.append(depths[parent] + 1 if parent >= 0 else 0)
            sees.append(1 << at | (sees[parent] if parent >= 0 else 0))
        padding = width - len(self)
        table: Any = np.empty((1 + width, width), dtype=np.int64)
        table[0] = depths + depths[-1:] * padding
        size = (width + 7) // 8
        rows = b"".join(each.to_bytes(size, "little") for each in sees + sees[-1:] * padding)
        bits = np.frombuffer(rows, dtype=np.uint8).reshape(width, size)
        table[1:] = np.unpackbits(bits, axis=1, count=width, bitorder="little")
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
        node, count = slots - self.begin, self.table.shape[1]
        own = node.clamp(0, count - 1)
        before = node < 0
        # Columns are chosen fastest from numbers of this type.
        sees = self.table[1:].float().index_select(1, own) > 0
        seen = before | ((node < count) & sees)
        if window is None:
            return seen
        depths = self.table[0]
        distances = depths[:, None] - torch.where(before, node, depths.index_select(0, own))
        return seen & (distances < window)
