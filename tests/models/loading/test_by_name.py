"""Models and tokenizers by name or folder."""

from pathlib import Path

import pytest
import torch

from tests.support.architectures.models import Weights, tiny_model
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import LoadError, SpeculativeDecoder


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
