"""Models and tokenizers by name, and those that are refused."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from tests.support.architectures.models import Weights, tiny_model
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import LoadError, SpeculativeDecoder, UnsupportedModelError, UnsupportedTokenizerError


def test_models_are_loaded_by_folder(tmp_path: Path) -> None:
    for role, name in (("target", "gpt2"), ("assistant", "llama2")):
        random_model("llama", tokenizer(name)).save_pretrained(tmp_path / role)
        tokenizer(name).save_pretrained(tmp_path / role)
    decoder = SpeculativeDecoder.from_pretrained(
        str(tmp_path / "target"), str(tmp_path / "assistant"), dtype="float64", lookahead=2
    )
    assert decoder.model.dtype == decoder.assistant.dtype == torch.float64
    assert len(decoder.generate(PROMPT, max_new_tokens=5).token_ids) == 5
    alone = SpeculativeDecoder.from_pretrained(str(tmp_path / "target"), None)
    assert alone.generate(PROMPT, max_new_tokens=5).stats.drafted == 0


def test_a_model_for_images_and_text_is_loaded_by_folder(tmp_path: Path) -> None:
    own = tokenizer("gpt2")
    model = tiny_model("llava", len(own) + 1, Weights(0.3))
    model.save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    decoder = SpeculativeDecoder.from_pretrained(str(tmp_path), "lookup")
    assert type(decoder.model) is type(model)
    ids = own(PROMPT, return_tensors="pt")
    true = model.generate(**ids, max_new_tokens=8, do_sample=False)[0].tolist()
    out = decoder.generate(PROMPT, max_new_tokens=8, do_sample=False)
    assert out.token_ids == true[ids["input_ids"].shape[1] :]


def test_unknown_model() -> None:
    with pytest.raises(LoadError, match="no/such-folder-here"):
        SpeculativeDecoder.from_pretrained("/no/such-folder-here", None)


def test_folder_without_tokenizer(tmp_path: Path) -> None:
    random_model("llama", tokenizer("gpt2")).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match=r"tokenizer.*tokenizer\.json"):
        SpeculativeDecoder.from_pretrained(str(tmp_path), None)


def test_folder_without_model(tmp_path: Path) -> None:
    tokenizer("gpt2").save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="cannot load a causal language model"):
        SpeculativeDecoder.from_pretrained(str(tmp_path), None)


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
