"""Rows of a padded batch: each is decoded as transformers decodes it."""

import warnings
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MaxLengthCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT
from tests.support.transformers_calls import EachEnd, both, decoder, inputs, padded, refused
from uag import OptionError, SpeculativeDecoder, UagWarning


def test_prefix_function_knows_its_row() -> None:
    def allowed(row: int, ids: Tensor) -> list[int]:
        return [*range(100 * row + 20, 100 * row + 90), len(ids)]

    rows = inputs(PROMPT, "Once", "One day, the")
    ours, theirs = both(
        decoder("itself"), rows, max_new_tokens=16, prefix_allowed_tokens_fn=allowed
    )
    assert torch.equal(ours, theirs)


class EachPlace(LogitsProcessor):
    """Knows how long each row is."""

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        assert len(input_ids) == len(scores) == len(self.lengths)
        scores = scores.clone()
        scores[:, 50] += (self.lengths % 3).float() * (input_ids[:, -1] % 5)
        return scores


def test_processors_and_criteria_of_a_batch() -> None:
    rows = inputs(PROMPT, "Once", "One day, the", "She")
    ours, theirs = both(
        decoder("itself"),
        rows,
        max_new_tokens=40,
        logits_processor=LogitsProcessorList([EachPlace(rows["attention_mask"].sum(-1))]),
        stopping_criteria=StoppingCriteriaList([EachEnd()]),
    )
    assert torch.equal(ours, theirs)
    ends = (ours[:, rows["input_ids"].shape[1] :] != 0).sum(-1)  # 0 pads
    assert len(set(ends.tolist())) > 1


def test_a_criterion_may_answer_with_a_bool() -> None:
    class Odd(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
            return bool(input_ids[0, -1] % 3 == 0)

    criteria = StoppingCriteriaList([Odd()])
    ours, theirs = both(decoder(), inputs("Once"), max_new_tokens=30, stopping_criteria=criteria)
    assert torch.equal(ours, theirs) and ours.shape[1] < 30


def test_a_length_that_is_reached_already() -> None:
    criteria = StoppingCriteriaList([MaxLengthCriteria(3)])
    ours, theirs = both(decoder(), inputs(PROMPT, "Once"), stopping_criteria=criteria)
    assert torch.equal(ours, theirs)


def test_a_criterion_of_length_in_place_of_the_option() -> None:
    criteria = StoppingCriteriaList([MaxLengthCriteria(12)])
    ours, theirs = both(decoder(), inputs("Once"), stopping_criteria=criteria)
    assert torch.equal(ours, theirs) and ours.shape[1] == 12
    out = decoder().generate("Once", stopping_criteria=criteria)
    assert out.token_ids == theirs[0, -len(out.token_ids) :].tolist()


def test_sampled_rows_are_those_sampled_alone() -> None:
    prompts = [PROMPT, "Once", "Once", "One day, the"]
    rows, options = inputs(*prompts), {"do_sample": True, "top_p": 0.9, "max_new_tokens": 16}
    generate: Any = decoder().model.generate
    out = generate(**rows, custom_generate=decoder(), seed=5, **options)
    new = out[:, rows["input_ids"].shape[1] :].tolist()
    alone = [decoder().generate(prompt, seed=5, **options).token_ids for prompt in prompts]
    assert new[0] == alone[0] and new[1] == alone[1] and new[3] == alone[3]
    assert new[2] != new[1]  # an independent draw of the same prompt
    several = generate(
        **inputs("Once"), custom_generate=decoder(), seed=5, num_return_sequences=2, **options
    )
    width = inputs("Once")["input_ids"].shape[1]
    assert several[:, width:].tolist() == [new[1], new[2]]


def test_a_row_beyond_the_window_goes_on() -> None:
    long = {"input_ids": torch.arange(300)[None] % 400}
    long["attention_mask"] = torch.ones_like(long["input_ids"])
    with warnings.catch_warnings(action="ignore", category=UagWarning):
        ours, theirs = both(decoder(), long, max_new_tokens=4)
    assert torch.equal(ours, theirs)


def test_right_padding() -> None:
    rows = inputs("Once", "One day, the")
    turned = {name: value.flip(-1) for name, value in rows.items()}
    refused("row 0 of the batch is padded on the right", turned)


def test_a_pad_token_is_not_guessed() -> None:
    target = random_model("llama", padded())
    target.generation_config.pad_token_id = target.generation_config.eos_token_id = None
    one = SpeculativeDecoder(target, padded())
    generate: Any = partial(
        target.generate,
        **inputs("Once", "One day, the"),
        custom_generate=one,
        max_new_tokens=40,
        stopping_criteria=StoppingCriteriaList([EachEnd()]),
    )
    with pytest.raises(OptionError, match="give pad_token_id="):
        generate()
    assert (generate(pad_token_id=5) == 5).any()
