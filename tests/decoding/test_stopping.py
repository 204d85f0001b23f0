"""A text ends at the id at which decoding one id at a time would end it."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import StoppingCriteria

from tests.support.models import plain_ids
from tests.support.scripted import scripted_pair, scripted_target
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.decoding.stopping import Stop


@pytest.mark.parametrize("place", range(12))
@pytest.mark.parametrize("least", [0, 9])
def test_end_of_text_ends_it_wherever_it_falls_in_a_draft(place: int, least: int) -> None:
    decoder = scripted_target("llama", ("llama2", "gpt2"))
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    ids = plain_ids(decoder.model, prompt, max_new_tokens=16)
    options: dict[str, Any] = {
        "eos_token_id": [ids[place], ids[15]],
        "max_new_tokens": 16,
        "min_new_tokens": least,
    }
    expected = plain_ids(decoder.model, prompt, **options)
    assert decoder.generate(PROMPT, **options).token_ids == expected


@pytest.mark.parametrize("place", range(0, 24, 2))
@pytest.mark.parametrize("pair", [("llama2", "gpt2"), ("gpt2", "bytes")])
def test_stop_strings_cut_at_the_same_id(place: int, pair: tuple[str, str]) -> None:
    decoder = scripted_target("llama", pair)
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    ids = plain_ids(decoder.model, prompt, max_new_tokens=32)
    text = decoder.tokenizer.decode(ids[place : place + 3])
    stops = [stop for stop in (text[1:3], "never there") if stop and "\ufffd" not in stop]
    options: dict[str, Any] = {"stop_strings": stops, "max_new_tokens": 32}
    expected = plain_ids(decoder.model, prompt, tokenizer=decoder.tokenizer, **options)
    assert decoder.generate(PROMPT, **options).token_ids == expected


def test_a_time_limit_is_for_all_texts_of_a_call() -> None:
    decoder = SpeculativeDecoder(*[scripted_pair("gpt2").model, tokenizer("gpt2")])
    outs = decoder.generate(
        PROMPT, do_sample=True, num_return_sequences=3, max_time=1e-6, max_new_tokens=50
    )
    assert [len(out.token_ids) for out in outs] == [1, 1, 1]


class Sum(StoppingCriteria):
    """Ends a text whose ids add up to a multiple of eleven."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        return input_ids.sum(-1) % 11 == 0


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.lists(st.integers(0, 9), min_size=1, max_size=8),
    st.integers(1, 9),
    st.sets(st.integers(0, 9), max_size=2),
    st.booleans(),
)
def test_a_round_is_cut_where_one_id_at_a_time_would_end(
    text: list[int], tokens: list[int], room: int, end_ids: set[int], custom: bool
) -> None:
    criteria = [Sum()] if custom else []
    stop = Stop(len(text) + room, frozenset(end_ids), criteria)
    assert stop.room(len(text)) == room
    kept: list[int] = []
    for token in tokens[:room]:
        kept.append(token)
        ended = token in end_ids or len(kept) == room or (custom and sum(text + kept) % 11 == 0)
        if ended:
            break
    assert stop.cut(text, len(text), tokens[:room]) == (kept, ended)
