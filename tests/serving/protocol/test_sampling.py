"""What a request leaves out is as the model's generation defaults say."""

from typing import Any

import pytest
from transformers import GenerationConfig

from uag import SpeculativeDecoder
from uag.serving.protocol.sampling import read_sampling
from uag.serving.protocol.served import Served


def options(served: Served, **body: Any) -> dict[str, Any]:
    read = read_sampling(body, served, limits=("max_tokens",), alternatives=None, most=None)
    return {name: value for name, value in read.options.items() if name != "max_length"}


GREEDY, SAMPLES = {"do_sample": False}, {"do_sample": True, "temperature": 0.7}
LIMITED = SAMPLES | {"top_k": 20}


@pytest.mark.parametrize(
    ("defaults", "body", "expected"),
    [
        (GREEDY, {}, {"do_sample": False}),
        (GREEDY, {"seed": 3}, {"do_sample": False}),
        (GREEDY, {"top_p": 1, "top_k": -1, "min_p": 0}, {"do_sample": False}),
        (GREEDY, {"temperature": 0}, {"do_sample": False}),
        (GREEDY, {"temperature": 0.5}, {"do_sample": True, "temperature": 0.5, "top_k": 0}),
        (GREEDY, {"top_p": 0.9}, {"do_sample": True, "top_p": 0.9, "top_k": 0}),
        (GREEDY, {"n": 2}, {"do_sample": True, "top_k": 0}),
        (SAMPLES, {}, {"do_sample": True, "top_k": 0}),
        (SAMPLES, {"temperature": 0}, {"do_sample": False}),
        (LIMITED, {}, {"do_sample": True}),
        (LIMITED, {"top_k": -1}, {"do_sample": True, "top_k": 0}),
    ],
)
def test_how_tokens_are_chosen(
    decoder: SpeculativeDecoder,
    monkeypatch: pytest.MonkeyPatch,
    defaults: dict[str, Any],
    body: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    config = GenerationConfig(**decoder.model.generation_config.to_diff_dict() | defaults)
    monkeypatch.setattr(decoder.model, "generation_config", config)
    assert options(Served(decoder, "demo"), **body) == expected


def test_greedy_texts_have_no_seed(served: Served) -> None:
    read = {"limits": ("max_tokens",), "alternatives": None, "most": None}
    assert read_sampling({"seed": 3}, served, **read).seed is None
    assert read_sampling({"seed": 3, "temperature": 1}, served, **read).seed == 3
    assert read_sampling({"seed": -1, "temperature": 1}, served, **read).seed == 2**63 - 1


def test_where_a_text_ends(served: Served) -> None:
    assert options(served, stop_token_ids=[5])["eos_token_id"] == [1, 5]
    assert options(served, stop_token_ids=[5], ignore_eos=True)["eos_token_id"] == [5]
    assert options(served, ignore_eos=True)["eos_token_id"] is None
    assert "eos_token_id" not in options(served)
