"""Options of generation that are refused: the error names the value and the remedy."""

from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LogitsProcessorList

from tests.support.faults import check_usable
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import LogitsError, OptionError, SpeculativeDecoder
from uag.requests import options as options_module

SEVERAL = GenerationConfig(do_sample=True, num_return_sequences=3)

BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 5}, "unknown option 'max_tokens'; did you mean 'max_new_tokens'"),
    ({"zebra": 5}, "unknown option 'zebra'"),
    ({"num_beams": 4}, "num_beams=4: beam search is not supported"),
    ({"num_return_sequences": 2}, "num_return_sequences=2, but greedy decoding"),
    ({"num_return_sequences": 0}, "num_return_sequences=0 is out of range"),
    (
        {"do_sample": True, "temperature": 0.0},
        "temperature=0.0 .* must be above 0",
    ),
    ({"do_sample": True, "temperature": -1}, "temperature=-1 is out of range"),
    ({"do_sample": True, "temperature": float("nan")}, "temperature=nan is out of range"),
    ({"do_sample": True, "temperature": float("inf")}, "temperature=inf is out of range"),
    ({"do_sample": True, "temperature": "hot"}, "temperature='hot' is out of range"),
    (
        {"do_sample": True, "top_p": 0.0},
        "top_p=0.0 .* at most 1",
    ),
    ({"do_sample": True, "top_p": 1.01}, "top_p=1.01 is out of range"),
    ({"do_sample": True, "top_p": float("nan")}, "top_p=nan is out of range"),
    ({"do_sample": True, "top_k": -1}, "top_k=-1 is out of range"),
    ({"do_sample": True, "top_k": 2.5}, "top_k=2.5 is out of range"),
    ({"do_sample": True, "min_p": 1.5}, "min_p=1.5 is out of range"),
    ({"do_sample": True, "typical_p": 0.0}, "typical_p=0.0 is out of range"),
    ({"do_sample": True, "epsilon_cutoff": 1.0}, "epsilon_cutoff=1.0 is out of range"),
    ({"do_sample": True, "eta_cutoff": -0.1}, "eta_cutoff=-0.1 is out of range"),
    ({"do_sample": True, "seed": -1}, r"seed=-1 is out of range: .* from 0 to 2\*\*63 - 1"),
    ({"do_sample": True, "seed": 2**63}, "is out of range"),
    ({"do_sample": True, "seed": 1.5}, "seed=1.5 is out of range"),
    ({"do_sample": True, "seed": True}, "seed=True is out of range"),
    ({"generation_config": GenerationConfig(do_sample=True, top_p=2.0)}, "top_p=2.0"),
    ({"generation_config": SEVERAL}, "give it to generate"),
    ({"guidance_scale": 2.0}, "guidance_scale=2.0"),
    ({"num_assistant_tokens": 7}, "give lookahead="),
    ({"cache_implementation": "static"}, "cache_implementation='static'"),
    ({"max_new_tokens": 0}, "max_new_tokens"),
    ({"max_new_tokens": -3}, "max_new_tokens"),
    ({"max_length": 3}, "max_length=3 leaves no room"),
    ({"repetition_penalty": -1.0}, "penalty"),
    ({"generation_config": GenerationConfig(num_beams=2)}, "num_beams=2"),
]


@pytest.mark.parametrize(
    ("options", "message"), BAD_OPTIONS, ids=[message for _, message in BAD_OPTIONS]
)
def test_options_that_cannot_be_met(
    decoder: SpeculativeDecoder, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        decoder.generate(PROMPT, **options)
    check_usable(decoder)


def test_beams_by_the_models_defaults_are_a_warning() -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)
    model.generation_config.num_beams = 3
    decoder = SpeculativeDecoder(model, target)
    with pytest.warns(UserWarning, match="num_beams=3, .* going on with num_beams=1"):
        out = decoder.generate(PROMPT, max_new_tokens=5)
    assert len(out.token_ids) == 5 and model.generation_config.num_beams == 3


def test_options_that_leave_no_token(decoder: SpeculativeDecoder) -> None:
    def forbid(_: Any, scores: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scores, -torch.inf)

    with pytest.raises(LogitsError, match="leave no token"):
        decoder.generate(PROMPT, do_sample=True, logits_processor=LogitsProcessorList([forbid]))
    check_usable(decoder)


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({}, ["cpu"]),
        ({"do_sample": True, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}, ["cpu"]),
        ({"min_new_tokens": 3}, ["cpu", "meta"]),
        ({"logits_processor": LogitsProcessorList([lambda _, scores: scores])}, ["cpu", "meta"]),
    ],
    ids=["greedy", "drawn", "shortest", "of the caller"],
)
def test_tensors_are_on_the_device_only_where_a_processor_keeps_them(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], places: list[str]
) -> None:
    """Whatever looks at one on a GPU waits for it: several times before each text."""
    names = tokenizer("llama2")
    model = random_model("llama", names)
    model.generation_config.eos_token_id = [2, 3]
    seen: list[str] = []

    real = options_module._processors

    def noted(*given: Any) -> LogitsProcessorList:
        *others, device = given
        seen.append(device.type)
        return real(*others, torch.device("cpu"))  # nothing can be looked at on "meta"

    monkeypatch.setattr(options_module, "_processors", noted)
    monkeypatch.setattr(options_module, "device_of", lambda _: torch.device("meta"))
    plan = options_module.plan_generation(model, names, [5, 6], {"max_new_tokens": 5} | options)
    assert seen == places
    assert plan.stop.end_ids == {2, 3} and plan.stop.device == torch.device("meta")
