"""Beginnings of texts whose states are kept, so that a later text need not read them again."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor

from uag.models.caches.kept import LEAST_SHARED, common_length

# For each layer its keys and values, each `[ids, heads, head size]`; empty for a layer without.
States = list[tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class _Kept:
    owner: Hashable
    ids: list[int]
    states: States
    bytes: int


class Prefixes:
    """States of ended texts within a budget of bytes; the least recently used go first.

    >>> import torch
    >>> prefixes = Prefixes(budget=1000, least=2)
    >>> prefixes.add("", [5, 6, 7], [(torch.ones(3, 1, 2), torch.ones(3, 1, 2))])
    >>> length, states = prefixes.longest("", [5, 6, 8], most=3)
    >>> length, states[0][0].shape, prefixes.bytes
    (2, torch.Size([2, 1, 2]), 48)

    Attributes:
        budget: most bytes of states; 0 keeps nothing.
        least: how many ids a text must have in common with another one to take over its states.
        bytes: those in use.
    """

    def __init__(self, budget: int, least: int = LEAST_SHARED) -> None:
        """Keep nothing yet."""
        self.budget = budget
        self.least = least
        self.bytes = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()  # the least recently used first
        self._number = 0

    def add(self, owner: Hashable, ids: list[int], states: States) -> None:
        """Keep the states of `ids`; those of shorter beginnings of the same ids are forgotten.

        Nothing is kept of fewer ids than `least`.
        """
        if len(ids) < self.least:
            return
        size = sum(each.nbytes for layer in states for each in layer)
        if size > self.budget:
            return
        for number, kept in [*self._kept.items()]:
            if kept.owner == owner and kept.ids == ids[: len(kept.ids)]:
                self._forget(number)
        self._number += 1
        self._kept[self._number] = _Kept(owner, ids, states, size)
        self.bytes += size
        self.shrink(self.budget)

    def longest(self, owner: Hashable, ids: Sequence[int], most: int) -> tuple[int, States]:
        """The longest beginning of `ids` that is kept for an owner: its length, and its states.

        0 if fewer than `least` of the ids, or of the first `most` of them, are kept.
        """
        first = ids[: self.least]
        lengths = {
            number: common_length(ids, kept.ids, most)
            for number, kept in self._kept.items()
            if kept.owner == owner and kept.ids[: self.least] == first
        }
        number = max(lengths, key=lambda each: lengths[each], default=0)
        if (length := lengths.get(number, 0)) < self.least:
            return 0, []
        self._kept.move_to_end(number)
        return length, [tuple(each[:length] for each in of) for of in self._kept[number].states]

    def shrink(self, most: int) -> None:
        """Forget what was not used for the longest time, until `most` bytes are in use."""
        while self.bytes > most:
            self._forget(next(iter(self._kept)))

    def _forget(self, number: int) -> None:
        self.bytes -= self._kept.pop(number).bytes
