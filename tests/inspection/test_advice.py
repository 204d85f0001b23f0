"""Advice about a pair: what is named as an obstacle or a caution."""

from copy import deepcopy

from transformers import T5Config

import uag
from tests.support.models import random_model
from tests.support.texts import MIXED_TEXT
from tests.support.tokenizers import tokenizer


def test_the_slow_side_and_the_reason_are_named() -> None:
    pair = uag.inspect_pair(tokenizer("gpt2"), tokenizer("odd"), text=MIXED_TEXT)
    assert (pair.target.core.fast, pair.assistant.core.fast) == (True, False)
    assert pair.assistant.core.family == "byte-level BPE"
    assert pair.assistant.core.reason.startswith("pre_tokenizer: ")
    assert any(pair.assistant.core.reason in caution for caution in pair.cautions)
    assert "The assistant takes the slower path" in pair.verdict


def test_a_tokenizer_of_another_model_and_an_encoder_decoder_are_obstacles() -> None:
    small = random_model("llama", tokenizer("bytes")).config
    wrong = uag.inspect_pair(tokenizer("gpt2"), tokenizer("gpt2"), config=small)
    assert "the target's tokenizer has 420 ids but its model only 258" in wrong.verdict
    # A few ids more are no obstacle: they are never used.
    nearly = random_model("llama", tokenizer("gpt2"), vocab_size=417).config
    fits = uag.inspect_pair(tokenizer("gpt2"), tokenizer("gpt2"), config=nearly)
    assert "do not belong together" not in fits.verdict
    other = uag.inspect_pair(
        tokenizer("gpt2"), tokenizer("gpt2"), assistant_config=T5Config(vocab_size=500)
    )
    assert "the assistant is an encoder-decoder" in other.verdict


def test_an_assistant_as_large_as_its_target_is_not_recommended(folders: dict[str, str]) -> None:
    pair = uag.inspect_pair(folders["middle"], folders["target"])
    assert "not smaller than the target" in " ".join(pair.cautions)
    assert "costs too much to pay" in pair.verdict


def test_chat_formats_are_compared() -> None:
    target, assistant = deepcopy(tokenizer("llama3")), deepcopy(tokenizer("gpt2"))
    target.chat_template = "{{ messages }}<begin><end>"
    pair = uag.inspect_pair(target, assistant, text=MIXED_TEXT)
    assert "the assistant has no chat template" in " ".join(pair.cautions)
    assistant.chat_template = "{{ messages }}"
    target.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    target.chat_template += "<turn>"
    cautions = " ".join(uag.inspect_pair(target, assistant, text=MIXED_TEXT).cautions)
    assert "<turn>" in cautions and "special_pairs" in cautions and "<end>" not in cautions
