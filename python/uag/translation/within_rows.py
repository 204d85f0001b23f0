"""Tokenizers that have more ids than their model has rows: the surplus ids are left out.

A tokenizer may have tokens that its model was never trained on: an image token of a text model
(Gemma 3 1B), a padding token that a user has added.
"""

from collections.abc import Sequence
from math import inf

from uag._core import Edit, Proposal, Tokenizer, TreeProposal
from uag.translation.protocol import Translator

# How many surplus ids there may be, at least: more, and it is the tokenizer of another model.
SURPLUS = 64


def belongs(ids: int, rows: int) -> bool:
    """Whether a tokenizer with so many ids may be that of a model with so many rows.

    >>> belongs(262_145, 262_144), belongs(128_256, 32_000)
    (True, False)
    """
    return ids - rows <= max(SURPLUS, rows // 100)


class WithinRows:
    """A `Translator` whose candidates end before the first id that the target has no row for."""

    def __init__(self, translator: Translator, rows: int) -> None:
        self._translator = translator
        self._rows = rows

    @property
    def held(self) -> int:
        return self._translator.held

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """See `Translator`."""
        found = self._translator.propose(draft_ids, text)
        fit = next((at for at, id in enumerate(found.ids) if id >= self._rows), len(found.ids))
        if fit == len(found.ids):
            return found
        return Proposal(found.ids[:fit], found.draft_ends[:fit], "not representable")

    def propose_tree(
        self, ids: list[int], parents: list[int], chances: list[float], held: list[int]
    ) -> TreeProposal | None:
        """See `Translator`."""
        found = self._translator.propose_tree(ids, parents, chances, held)
        if found is None or all(id < self._rows for id in found.ids):
            return found
        # What follows an id without a row counts for no more than that id.
        weights = [
            weight if id < self._rows else -inf
            for id, weight in zip(found.ids, found.weights, strict=True)
        ]
        every = found.select(weights, len(weights))
        return found.select(weights, sum(weight > -inf for weight in every.weights))

    def commit(self, target_ids: list[int]) -> Edit:
        """See `Translator`."""
        return self._translator.commit(target_ids)


class StandIn:
    """Replaces ids that a model has no row for by one that it has, of the most ordinary kind.

    An assistant reads what it is given only to guess: any id that keeps the places will do.

    >>> from uag.translation.core_tokenizer import core_tokenizer
    >>> StandIn(core_tokenizer(target_tokenizer), rows=300)([5, 301, 6]) != [5, 301, 6]
    True
    """

    def __init__(self, tokenizer: Tokenizer, rows: int) -> None:
        self._rows = rows
        spaces = tokenizer.encode(b" ") or [0]
        self._id = spaces[0] if spaces[0] < rows else 0

    def __call__(self, ids: Sequence[int]) -> list[int]:
        return [id if id < self._rows else self._id for id in ids]
