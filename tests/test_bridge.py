"""`uag.Bridge`: the core behind Hugging Face tokenizers.

What it computes is checked in test_core.py.
"""

import pytest
from fakes import PAIRS, tokenizer
from uag import Bridge


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
