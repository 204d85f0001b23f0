"""What a user should know of a prompt is said once, and is in the statistics."""

from typing import Any

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, TOKENIZERS
from uag import Chat, SpeculativeDecoder, UagWarning
from uag.errors import _warned
from uag.inspection.inspect import inspect_pair

TEMPLATE = (
    "{% for message in messages %}<begin>{{ message.role }}: {{ message.content }}<end>"
    "{% endfor %}{% if add_generation_prompt %}<begin>assistant: {% endif %}"
)
MESSAGES = [{"role": "user", "content": "Hi!"}]


@pytest.fixture(autouse=True)
def unwarned() -> None:
    _warned.clear()


def decoder_of(assistant: Any = None, **settings: Any) -> SpeculativeDecoder:
    words: Any = TOKENIZERS["gpt2"]()
    words.add_special_tokens({"bos_token": "<begin>", "eos_token": "<end>"})
    words.chat_template = TEMPLATE
    model = random_model("llama", words)
    model.generation_config.update(**settings)
    return SpeculativeDecoder(model, words, assistant, lookup=None if assistant else False)


def test_two_beginnings_of_text() -> None:
    decoder = decoder_of()
    begin = decoder.tokenizer.bos_token_id
    ids = [begin, begin, *decoder.tokenizer("Once")["input_ids"]]
    with pytest.warns(UagWarning, match=r"two beginning-of-text tokens \('<begin>'\)"):
        out = decoder.generate(ids, max_new_tokens=2)
    assert out.stats.hints == out.stats.as_dict()["hints"] == out.stats.prompt_hints
    assert len(out.stats.hints) == 1
    out = decoder.generate(ids, max_new_tokens=2)  # said once, and known each time
    assert len(out.stats.hints) == 1
    assert decoder.generate(ids[1:], max_new_tokens=2).stats.hints == []


def test_two_beginnings_of_text_under_transformers() -> None:
    import torch

    decoder = decoder_of()
    begin = decoder.tokenizer.bos_token_id
    ids = torch.tensor([[begin, begin, 5, 6]])
    generate: Any = decoder.model.generate
    with pytest.warns(UagWarning, match="two beginning-of-text tokens"):
        out = generate(ids, max_new_tokens=2, custom_generate=decoder, return_dict_in_generate=True)
    assert out.stats[0].hints


def test_the_end_of_a_turn_that_ends_no_text() -> None:
    decoder = decoder_of(eos_token_id=None)
    end = decoder.tokenizer.eos_token_id
    with pytest.warns(UagWarning, match=rf"'<end>' ends a turn .*: add {end} to eos_token_id"):
        out = decoder.chat(MESSAGES, max_new_tokens=2)
    assert len(out.stats.hints) == 1
    assert decoder.chat(MESSAGES, max_new_tokens=2, eos_token_id=[end]).stats.hints == []
    assert decoder.generate(PROMPT, max_new_tokens=2).stats.hints == []  # no turn ends here


def test_a_template_of_the_assistant_that_fails() -> None:
    words: Any = TOKENIZERS["llama2"]()
    words.chat_template = "{{ raise_exception('no chats here') }}"
    other = decoder_of()
    decoder = SpeculativeDecoder(
        other.model, other.tokenizer, random_model("llama", words), words, lookahead=2
    )
    with pytest.warns(UagWarning, match=r"assistant's chat template cannot .*no chats here"):
        out = decoder.chat(MESSAGES, max_new_tokens=2)
    assert "as plain text" in out.stats.hints[0]
    assert decoder.generate(Chat(MESSAGES), max_new_tokens=2).stats.hints == out.stats.hints


def test_inspect_tells_of_the_end_of_a_turn() -> None:
    words: Any = TOKENIZERS["gpt2"]()
    words.add_special_tokens({"bos_token": "<begin>", "eos_token": "<end>"})
    words.chat_template = TEMPLATE
    assert inspect_pair(words, words).target.open_turn == ""
    words.eos_token = words.bos_token
    pair = inspect_pair(words, words)
    assert pair.target.open_turn == "<end>"
    assert any(each.startswith("<end> ends a turn") for each in pair.advice.cautions)
