"""Ids become text as they come: pieces add up to the text of all ids at once."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokenizers import TOKENIZERS, tokenizer
from uag._core import Tokenizer
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.detokenizer import TextBytes, TextDecoder, WholeCharacters, leading_space

CORES = {name: core_tokenizer(tokenizer(name)) for name in TOKENIZERS if name != "odd"}
# Chunks of random ids, most of which no tokenizer would give: "bytes" has every broken character.
chunks = st.lists(st.lists(st.integers(0, 257), max_size=4), max_size=12)


def spelled(core: Tokenizer, ids: list[int]) -> bytes:
    """The bytes of all ids at once, without the space that the tokenizer puts before a text."""
    data = b"".join(core.token_bytes(id) or b"" for id in ids)
    return data.removeprefix(leading_space(core))


@given(st.sampled_from([*CORES]), chunks)
def test_pieces_add_up(name: str, chunks: list[list[int]]) -> None:
    core = CORES[name]
    expected = spelled(core, [*chain.from_iterable(chunks)])
    data, text = TextBytes(core), TextDecoder(core)
    assert b"".join(map(data.add, chunks)) == expected
    assert "".join(map(text.add, chunks)) + text.end() == expected.decode(errors="replace")


@given(chunks, st.lists(st.integers(0, 257), max_size=3))
def test_ids_are_held_back_until_their_characters_are_complete(
    chunks: list[list[int]], prompt: list[int]
) -> None:
    core = CORES["bytes"]
    whole, given_ids = WholeCharacters(core, prompt), list[int]()
    for chunk in chunks:
        text = TextDecoder(core)
        text.add(prompt)
        given_ids += (complete := whole.add(chunk))
        text.add(given_ids)
        assert not complete or not text.end()
    assert given_ids + whole.end() == [*chain.from_iterable(chunks)]


@pytest.mark.parametrize("name", CORES)
def test_the_space_before_a_text_is_that_of_the_tokenizer(name: str) -> None:
    assert leading_space(CORES[name]) == (b" " if name == "llama2" else b"")
