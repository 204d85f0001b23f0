"""`uag.Bridge`: the core behind Hugging Face tokenizers.

What it computes is checked in tests/core.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers

from tests.support.models import random_model
from tests.support.pairs import PAIRS
from tests.support.tokenizers import tokenizer
from uag import Bridge, SpeculativeDecoder, UnsupportedTokenizerError
from uag.translation import bridge
from uag.translation.core_tokenizer import core_tokenizer


@pytest.mark.parametrize("pair", PAIRS)
def test_special_tokens_are_paired_by_role_and_by_request(pair: tuple[str, str]) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    bridge = Bridge(target, assistant, special_pairs=[(target.eos_token, 5)])
    assert bridge.special_pairs == [
        (target.eos_token_id, 5),
        (target.eos_token_id, assistant.eos_token_id),
    ]


def test_the_slower_path_is_reported() -> None:
    bridge = Bridge(tokenizer("gpt2"), tokenizer("odd"))
    assert bridge.fast == (True, False)
    assert bridge.reason[0] == ""
    assert "pre_tokenizer" in bridge.reason[1]


def test_raw_tokenizers_will_do() -> None:
    target, assistant = tokenizer("llama3"), tokenizer("llama2")
    bridge = Bridge(target.backend_tokenizer, assistant.backend_tokenizer)
    text = bridge.start(target.encode("a dog"), assistant.encode("a dog"))
    draft = assistant.encode(" ran", add_special_tokens=False)[1:]
    assert text.propose(draft).ids


def test_python_only_tokenizer() -> None:
    slow: Any = SimpleNamespace(is_fast=False, eos_token_id=None)
    with pytest.raises(UnsupportedTokenizerError, match=r"slow \(Python-only\) tokenizer"):
        Bridge(slow, tokenizer("gpt2"))


def test_unknown_special_token() -> None:
    with pytest.raises(UnsupportedTokenizerError, match="no token '<think>'"):
        Bridge(tokenizer("gpt2"), tokenizer("llama2"), special_pairs=[("<end>", "<think>")])


def test_a_bare_tokenizers_tokenizer_will_do() -> None:
    bare: tokenizers.Tokenizer = tokenizer("gpt2").backend_tokenizer
    assert Bridge(bare, tokenizer("llama2")).fast == (True, True)


@pytest.mark.parametrize("assistant", [None, "lookup"])
def test_one_tokenizer_on_both_sides_is_read_once(
    monkeypatch: pytest.MonkeyPatch, assistant: str | None
) -> None:
    """Reading and checking one takes up to a second, and as much memory again."""
    read: list[Any] = []
    monkeypatch.setattr(
        bridge, "core_tokenizer", lambda each: read.append(each) or core_tokenizer(each)
    )
    words = tokenizer("gpt2")
    decoder = SpeculativeDecoder(random_model("llama", words), words, assistant)
    assert decoder.bridge.assistant is decoder.bridge.target and len(read) == 1
    Bridge(words, tokenizer("llama2"))
    assert len(read) == 3


def test_a_reason_names_its_part_once() -> None:
    reason = Bridge(tokenizer("odd"), tokenizer("gpt2")).reason.target
    assert reason.startswith("pre_tokenizer: ") and reason.count("pre_tokenizer") == 1
