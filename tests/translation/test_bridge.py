"""`uag.Bridge`: the core behind Hugging Face tokenizers.

What it computes is checked in tests/core.
"""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers

from tests.support.models import random_model
from tests.support.pairs import PAIRS
from tests.support.tokenizers import tokenizer
from uag import Bridge, OptionError, SpeculativeDecoder, UnsupportedTokenizerError
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


@pytest.mark.parametrize("raw", [True, False])
def test_a_bridge_can_be_pickled(*, raw: bool) -> None:
    pair: list[Any] = [tokenizer("gpt2"), tokenizer("llama2")]
    given = [own.backend_tokenizer for own in pair] if raw else pair
    one = Bridge(*given, special_pairs=[("<begin>", "<s>")])
    other: Bridge = pickle.loads(pickle.dumps(one))  # noqa: S301 # its own
    assert other.special_pairs == one.special_pairs
    ids, draft = pair[0].encode("Once upon"), one.assistant.encode(b" a time")
    proposals = [
        each.start(ids, each.assistant_prompt(ids)).propose(draft).ids for each in (one, other)
    ]
    assert proposals[0] == proposals[1] != []


@pytest.mark.parametrize("wrong", [5, "ab", ["ab"], [(1, 2, 3)], [5], {"a": "b"}], ids=str)
def test_what_is_no_list_of_pairs(wrong: Any) -> None:
    with pytest.raises(OptionError, match="give a list of pairs"):
        Bridge(tokenizer("gpt2"), tokenizer("llama2"), wrong)


@pytest.mark.parametrize("token", ["\ud800", "nobody", -1, 2**32, True, 5.0, None], ids=ascii)
def test_a_special_token_that_there_is_not(token: Any) -> None:
    for pair in ((token, 5), (5, token)):
        with pytest.raises(UnsupportedTokenizerError, match="the tokenizer has no token"):
            Bridge(tokenizer("gpt2"), tokenizer("llama2"), [pair])


@pytest.mark.parametrize("pair", PAIRS)
def test_a_text_may_begin_inside_a_character(pair: tuple[str, str]) -> None:
    """Wherever it is cut, it is the text that grew to there id by id."""
    target, assistant = (tokenizer(name) for name in pair)
    bridge = Bridge(target, assistant)
    ids: list[int] = target("Once 漢字 🎉🎉 naïve")["input_ids"]
    grown = bridge.begin([])
    for end, id in enumerate(ids, 1):
        grown.commit([id])
        begun = bridge.begin(ids[:end])
        if end > len(target("")["input_ids"]):  # a prefix alone is the assistant's own
            assert (begun.assistant_ids, begun.held) == (grown.assistant_ids, grown.held)
    draft = bridge.assistant.encode(b" fox")
    assert bridge.begin(ids).propose(draft).ids == grown.propose(draft).ids
