"""A text ends at the id at which decoding one id at a time would end it."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MaxLengthCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tests.support.models import plain_ids
from tests.support.scripted import scripted_pair, scripted_target
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.decoding.stopping import Stop
from uag.demo import demo_decoder
from uag.stats import Ending


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


def test_a_time_limit_is_for_all_texts_of_a_call() -> None:
    decoder = SpeculativeDecoder(*[scripted_pair("gpt2").model, tokenizer("gpt2")])
    outs = decoder.generate(
        PROMPT, do_sample=True, num_return_sequences=3, max_time=1e-6, max_new_tokens=50
    )
    assert [len(out.token_ids) for out in outs] == [1, 1, 1]


class Grammar(LogitsProcessor):
    """Allows nothing after an end, and counts how often it is asked there."""

    def __init__(self, length: int, end: int) -> None:
        self.length, self.end, self.asked = length, end, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.end in input_ids[0, self.length :]:
            self.asked += 1
            scores[:] = -torch.inf
        return scores


@pytest.mark.parametrize("sampling", ["greedy", "coupled", "rejection"])
def test_a_grammar_is_not_asked_after_the_end(sampling: str) -> None:
    demo = demo_decoder()
    model, words = demo.model, demo.tokenizer
    # Its drafts are right, and go on after the end.
    decoder = SpeculativeDecoder(
        model,
        words,
        model,
        words,
        lookahead=8,
        sampling="coupled" if sampling == "greedy" else sampling,
    )
    prompt = words("Once upon a time")["input_ids"]
    end = plain_ids(model, prompt, max_new_tokens=31)[30]
    options: dict[str, Any] = {"eos_token_id": end, "max_new_tokens": 60}
    expected = plain_ids(model, prompt, **options)
    if sampling != "greedy":
        options |= {"do_sample": True, "temperature": 0.001, "seed": 1}
    grammar = Grammar(len(prompt), end)
    out = decoder.generate(prompt, logits_processor=LogitsProcessorList([grammar]), **options)
    assert out.token_ids == expected
    assert grammar.asked == 0 and out.stats.accepted > 20


def test_nothing_is_taken_after_the_end() -> None:
    tokens = iter([7, 2, 8])
    assert Stop(10, frozenset({2}), ()).cut([5], 1, tokens) == ([7, 2], Ending("eos", 2))
    assert [*tokens] == [8]


class Hears(StoppingCriteria):
    """Remembers what it is asked, and ends nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], Any]] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        self.asked.append((input_ids[0].tolist(), scores))
        return torch.tensor([False])


@pytest.mark.parametrize(("max_length", "end_ids"), [(4, set[int]()), (9, {8}), (9, set[int]())])
def test_each_criterion_is_asked_at_each_id(max_length: int, end_ids: set[int]) -> None:
    before, after = Hears(), Hears()
    stop = Stop(max_length, frozenset(end_ids), [before, Sum(), after])
    stop.cut([1, 2, 9, 9], 2, [7, 8])  # 9, 9: candidates
    assert before.asked == after.asked == [([1, 2, 7], None), ([1, 2, 7, 8], None)]


def test_criteria_get_what_transformers_gives() -> None:
    decoder = scripted_pair("gpt2")
    text = torch.tensor([decoder.tokenizer(PROMPT)["input_ids"]])
    generate: Any = decoder.model.generate
    heard: list[Hears] = []
    for options in ({}, {"custom_generate": decoder}):
        heard.append(Hears())
        out = generate(
            text,
            attention_mask=torch.ones_like(text),
            max_new_tokens=5,
            return_dict_in_generate=True,
            output_scores=True,
            stopping_criteria=StoppingCriteriaList([heard[-1]]),
            **options,
        )
        assert not any(each.is_inference() for each in out.scores)
    for (ids, scores), (same, others) in zip(*(each.asked for each in heard), strict=True):
        assert ids == same and len(scores) == len(others) == len(ids) - text.shape[1]
        torch.testing.assert_close(torch.stack(scores), torch.stack(others))


class Later(MaxLengthCriteria):
    """A class of its own: not what its base class is."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        return super().__call__(input_ids[:, 3:], scores, **kwargs)


def test_a_subclass_of_a_known_criterion_ends_where_it_says() -> None:
    decoder = scripted_pair("gpt2")
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    options: dict[str, Any] = {
        "max_new_tokens": 12,
        "stopping_criteria": StoppingCriteriaList([Later(len(prompt) + 4)]),
    }
    out = decoder.generate(PROMPT, **options)
    assert len(out.token_ids) == 7
    assert out.token_ids == plain_ids(decoder.model, prompt, **options)


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
    found, ending = stop.cut(text, len(text), tokens[:room])
    assert (found, ending is not None) == (kept, ended)
