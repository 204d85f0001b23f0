"""Models and tokenizers that cannot be used are refused."""

import warnings
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UnsupportedModelError, UnsupportedTokenizerError


def test_tokenizer_of_another_model() -> None:
    small, large = tokenizer("bytes"), tokenizer("llama3")
    with pytest.raises(
        UnsupportedTokenizerError, match=r"target's tokenizer has \d+ ids but its model only 258"
    ):
        SpeculativeDecoder(random_model("llama", small), large)
    model = random_model("llama", large)
    with pytest.raises(UnsupportedTokenizerError, match="assistant's tokenizer"):
        SpeculativeDecoder(model, large, random_model("gpt2", small), large)


def build(name: str, **settings: Any) -> PreTrainedModel:
    config = getattr(transformers, f"{name}Config")(**settings)
    return getattr(transformers, f"{name}ForConditionalGeneration")(config)


def test_encoder_decoder() -> None:
    target = tokenizer("gpt2")
    model = build(
        "T5", d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=len(target)
    )
    with pytest.raises(
        UnsupportedModelError, match="T5ForConditionalGeneration is an encoder-decoder"
    ):
        SpeculativeDecoder(model, target)


def test_model_without_language_head() -> None:
    target = tokenizer("gpt2")
    body: Any = random_model("llama", target).model
    with pytest.raises(UnsupportedModelError, match="cannot generate"):
        SpeculativeDecoder(body, target)


def test_larger_assistant_is_a_warning() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    with pytest.warns(UserWarning, match="assistant larger than its target"):
        SpeculativeDecoder(
            random_model("llama", target),
            target,
            random_model("llama", assistant, num_hidden_layers=4),
            assistant,
        )


NOISES: list[tuple[str, dict[str, Any], str]] = [
    ("gpt2", {"embd_pdrop": 0.1}, "adds noise"),
    ("llama", {"attention_dropout": 0.1}, "adds noise"),
    ("mixtral", {"router_jitter_noise": 0.1}, "adds noise"),
]
QUIET = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


@pytest.mark.parametrize(("architecture", "settings", "effect"), NOISES, ids=str)
def test_train_mode_with_an_effect(
    architecture: str, settings: dict[str, Any], effect: str
) -> None:
    quiet = QUIET if architecture == "gpt2" else {}
    own = tokenizer("gpt2")
    model = random_model(architecture, own, **quiet | settings)
    ids = torch.tensor([[5, 6, 7]])
    torch.manual_seed(0)
    assert not torch.equal(model(ids).logits, model.train()(ids).logits)
    with pytest.raises(UnsupportedModelError, match=rf"train mode, which {effect}.*model.eval\(\)"):
        SpeculativeDecoder(model, own)
    SpeculativeDecoder(model.eval(), own)


def test_train_mode_with_gradient_checkpointing() -> None:
    own = tokenizer("gpt2")
    model = random_model("llama", own)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model.gradient_checkpointing_enable()
    SpeculativeDecoder(model, own)
    with pytest.raises(UnsupportedModelError, match="checkpointing switches the KV cache off"):
        SpeculativeDecoder(model.train(), own)


def test_train_mode_without_effect() -> None:
    own = tokenizer("gpt2")
    for model in (random_model("llama", own), random_model("gpt2", own, **QUIET)):
        expected = SpeculativeDecoder(model, own).generate(PROMPT, max_new_tokens=8).token_ids
        decoder = SpeculativeDecoder(model.train(), own)
        assert decoder.generate(PROMPT, max_new_tokens=8).token_ids == expected
        assert model.training
