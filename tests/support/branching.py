"""Drafts that are trees: a scripted chain, other texts beside it, and ids of no sense."""

from random import Random
from typing import Any

from tests.support.scripted import ScriptedDecoder, ScriptedDrafts, draft_from
from uag._core import Tokenizer
from uag.draft import Draft, DraftTree
from uag.drafting.sides import Opening
from uag.drafting.source import DraftSource


class BranchingDrafts(DraftSource):
    """Makes a tree of what scripted drafts would be in several tries, the first of them held."""

    def __init__(self, scripted: ScriptedDrafts, tokenizer: Tokenizer, seed: int) -> None:
        self._scripted = scripted
        self._tokenizer = tokenizer
        self._random = Random(seed)

    def draft(self, k: int, goes_on: Any = None) -> Draft:
        begin = list(self._scripted._ids)
        draft = self._scripted.draft(k, goes_on)
        if not draft.ids or self._random.random() < 0.1:
            return draft
        held = list(self._scripted._ids)
        tree = DraftTree([], [], [])
        self._add(tree, draft.ids)
        for _ in range(self._random.randrange(3)):
            self._scripted._ids = list(begin)
            self._add(tree, self._scripted.draft(k, goes_on).ids)
        self._scripted._ids = held
        for _ in range(self._random.randrange(6)):
            id = self._random.randrange(self._tokenizer.vocab_size)
            self._node(tree, self._random.randrange(-1, len(tree.ids)), id)
        return Draft(draft.ids, [], draft.seconds, tree=tree)

    def apply(self, keep: int, feed: list[int]) -> None:
        self._scripted.apply(keep, feed)

    def _add(self, tree: DraftTree, ids: list[int]) -> None:
        node = -1
        for id in ids:
            node = self._node(tree, node, id)

    def _node(self, tree: DraftTree, parent: int, id: int) -> int:
        known = [*zip(tree.parents, tree.ids, strict=True)]
        if (parent, id) in known:
            return known.index((parent, id))
        tree.ids.append(id)
        tree.parents.append(parent)
        tree.chances.append(self._random.random())
        return len(tree.ids) - 1


def branch(decoder: ScriptedDecoder) -> ScriptedDecoder:
    """Has a scripted decoder draft trees."""

    def source(opening: Opening) -> BranchingDrafts:
        scripted: Any = decoder._source(opening)
        return BranchingDrafts(scripted, decoder.bridge.assistant, decoder.seed)

    draft_from(decoder, source)
    return decoder
