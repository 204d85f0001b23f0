"""Advice about a pair: what it counts is counted again with the real tokenizers and models."""

from itertools import accumulate

import pytest
import tokenizers

import uag
from tests.support.pairs import PAIRS
from tests.support.texts import MIXED_TEXT
from tests.support.tokenizers import tokenizer


def ends(name: str, text: str) -> list[int]:
    """Where each token ends, in bytes, by the tokenizer's own offsets."""
    encoding = tokenizer(name)(text, add_special_tokens=False, return_offsets_mapping=True)
    sizes = [0, *accumulate(len(character.encode()) for character in text)]
    return [sizes[end] for _, end in encoding["offset_mapping"]]


@pytest.mark.parametrize(("target", "assistant"), PAIRS)
def test_what_is_counted_on_a_text(target: str, assistant: str) -> None:
    # Plain text: offsets in characters can't tell the tokens of one character apart.
    text = MIXED_TEXT.encode("ascii", "ignore").decode()
    pair = uag.inspect_pair(tokenizer(target), tokenizer(assistant), text=text)
    (one,) = pair.samples
    ours, theirs = ends(target, text), ends(assistant, text)
    assert (one.target_tokens, one.assistant_tokens) == (len(ours), len(theirs))
    assert one.shared_ends == sum(end in set(theirs) for end in ours)
    assert one.bytes == len(text) and one.spelled == (True, True)
    strings = [
        {core.token_bytes(id) for id in range(core.vocab_size)} - {None}
        for core in (pair.target.core, pair.assistant.core)
    ]
    assert (pair.target_strings, pair.assistant_strings) == tuple(map(len, strings))
    assert pair.shared_strings == len(strings[0] & strings[1])
    ids = tokenizer(target)(text, add_special_tokens=False)["input_ids"]
    assert one.known == sum(pair.target.core.token_bytes(id) in strings[1] for id in ids)
    assert pair.same_tokenizer == (target == assistant)


def test_an_assistant_that_cannot_spell_a_text_is_ranked_below_one_that_can() -> None:
    blind = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("▁", -2.0), *(
        (letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"
    )], unk_id=0))  # fmt: skip
    blind.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    blind.decoder = tokenizers.decoders.Metaspace()
    pairs = uag.rank_assistants(tokenizer("gpt2"), [blind, tokenizer("bytes")], text="日本語 text")
    assert [pair.assistant.core.family for pair in pairs] == ["byte-level BPE", "Unigram"]
    assert pairs[1].score == 1 < pairs[0].score
    assert "does not spell text byte for byte" in " ".join(pairs[1].cautions)
