"""What is asked of Hugging Face tokenizers, against what they themselves say."""

import pytest
from tokenizers import processors

from tests.support.tokenizers import ALL_TOKENIZERS, PROMPT, tokenizer
from uag.translation.tokenizers import (
    backend_of,
    open_prompt_ids,
    plain_copy,
    prefix_ids,
    prompt_ids,
    special_ids,
    token_id,
    tokenizer_end_id,
)


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_ids_of_a_prompt_are_those_of_the_tokenizer(name: str) -> None:
    own = tokenizer(name)
    ids = own(PROMPT)["input_ids"]
    bare = own(PROMPT, add_special_tokens=False)["input_ids"]
    assert prompt_ids(own, PROMPT) == prompt_ids(backend_of(own), PROMPT) == ids
    assert open_prompt_ids(own, PROMPT) == prefix_ids(own) + bare


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_special_tokens_are_known_by_name_and_by_id(name: str) -> None:
    own = tokenizer(name)
    assert special_ids(own) == special_ids(backend_of(own)) >= {*own.all_special_ids}
    assert token_id(own, own.eos_token) == token_id(own, own.eos_token_id) == tokenizer_end_id(own)
    assert tokenizer_end_id(backend_of(own)) is None


def test_what_a_tokenizer_puts_after_a_text_is_left_off_an_open_prompt() -> None:
    backend = plain_copy(tokenizer("gpt2").backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 1), ("<end>", 0)]
    )
    whole = prompt_ids(backend, PROMPT)
    assert (whole[0], whole[-1]) == (1, 0)
    assert open_prompt_ids(backend, PROMPT) == whole[:-1]
    assert prefix_ids(backend) == [1]


def test_to_a_plain_copy_special_tokens_are_text_and_nothing_is_cut_off() -> None:
    backend = plain_copy(tokenizer("gpt2").backend_tokenizer.to_str())
    backend.enable_truncation(3)
    backend.enable_padding(length=50)
    copy = plain_copy(backend.to_str())
    ids = copy.encode("<end>" + PROMPT).ids
    assert not {*ids} & special_ids(copy)
    assert copy.decode(ids, skip_special_tokens=False) == "<end>" + PROMPT
