"""Drafts that are made knowing the noise, and so the text that will be sampled."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from tests.support.exactness.table import LENGTH, Ids, Table
from tests.support.exactness.tiny_lm import END
from tests.support.scripted import draft_from
from uag import SpeculativeDecoder
from uag._core import Tokenizer
from uag.draft import Draft, DraftTree
from uag.drafting.sides import Opening
from uag.drafting.source import DraftSource


class OracleDrafts(DraftSource):
    """Drafts from knowledge of the very text that the target is going to draw."""

    def __init__(self, decoder: "OracleDecoder", prompt: list[int], text: Ids) -> None:
        self._decoder = decoder
        self._text = text
        self._prompt = spell(decoder.bridge.assistant, prompt)
        self._ids = list(prompt)

    def draft(self, k: int, goes_on: Any = None) -> Draft:
        # In bytes, because the prompt's last id may have grown into the text.
        spelled = spell(self._decoder.bridge.assistant, self._ids)[len(self._prompt) :]
        target = self._decoder.bridge.target
        told = next(n for n in range(LENGTH) if spell(target, self._text[:n]) == spelled)
        ids = self._decoder.oracle(self._decoder, self._text, told)[:k]
        self._ids += ids
        if self._decoder.beside is None:
            return Draft(ids)
        others = self._decoder.beside(self._decoder, self._text, told)[:k]
        parents = [*range(-1, len(ids) - 1), -1, *range(len(ids), len(ids) + len(others) - 1)]
        nodes = [*ids, *others]
        return Draft(ids, tree=DraftTree(nodes, parents[: len(nodes)], [0.5] * len(nodes)))

    def apply(self, keep: int, feed: list[int]) -> None:
        self._ids = self._ids[:keep] + feed


class OracleDecoder(SpeculativeDecoder):
    """Decodes with drafts that are made knowing the noise.

    `oracle` makes them from the text that will be drawn and how many of its ids are out. `beside`
    makes others, for a tree of both.
    """

    table: Table
    oracle: Callable[["OracleDecoder", Ids, int], list[int]]
    beside: Callable[["OracleDecoder", Ids, int], list[int]] | None = None

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        draft_from(self, self._source)

    def _source(self, opening: Opening) -> DraftSource:
        key: Any = opening.choice
        (text,) = self.table.draw(self._engine.sampling.target_names, torch.tensor([key._key]))
        return OracleDrafts(self, opening.prompt, text)


def likeliest(decoder: OracleDecoder, text: Ids, told: int) -> list[int]:
    """What the target finds likeliest, which is not always what it draws."""
    ids = decoder.table.likeliest(text[:told])[told:]
    return decoder.bridge.assistant.encode(spell(decoder.bridge.target, ids)) + [END] * (END in ids)


def wrong(decoder: OracleDecoder, text: Ids, told: int) -> list[int]:
    """Another letter than the one that comes."""
    coming = spell(decoder.bridge.target, text[told:])
    other = next(letter for letter in (b"a", b"b") if not coming.startswith(letter))
    return decoder.bridge.assistant.encode(other * LENGTH)


def spell(tokenizer: Tokenizer, ids: Iterable[int]) -> bytes:
    """The bytes of ids."""
    return b"".join(tokenizer.token_bytes(id) or b"" for id in ids)
