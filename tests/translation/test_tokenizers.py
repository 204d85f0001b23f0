"""What is asked of Hugging Face tokenizers, against what they themselves say."""

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import processors

from tests.support.models import random_model
from tests.support.tokenizers import ALL_TOKENIZERS, PROMPT, TOKENIZERS, tokenizer
from uag import SpeculativeDecoder, UnsupportedTokenizerError
from uag.translation.tokenizers import (
    backend_of,
    open_prompt_ids,
    plain_copy,
    prefix_ids,
    prompt_ids,
    special_ids,
    token_id,
    tokenizer_end_id,
    unshortened,
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


def truncating(backend: Any) -> None:
    backend.enable_truncation(3)


def padding(backend: Any) -> None:
    backend.enable_padding(length=40)


@pytest.mark.parametrize("setting", [truncating, padding])
@pytest.mark.parametrize("raw", [True, False])
def test_prompts_are_neither_cut_nor_padded(setting: Callable[[Any], None], *, raw: bool) -> None:
    expected = tokenizer("gpt2")(PROMPT)["input_ids"]
    fast = TOKENIZERS["gpt2"]()
    own = fast.backend_tokenizer if raw else fast
    model = random_model("llama", tokenizer("gpt2"))
    setting(backend_of(own))
    before = (backend_of(own).truncation, backend_of(own).padding)
    decoder = SpeculativeDecoder(model, own, model, own, lookahead=2)
    for prompt in (PROMPT, [PROMPT, "Once"]):
        decoder.generate(prompt, max_new_tokens=2)
    assert decoder.stream(PROMPT, max_new_tokens=2).prompt == expected
    assert decoder.bridge.fast == (True, True) and decoder.tokenizer is own
    assert (backend_of(own).truncation, backend_of(own).padding) == before != (None, None)


@pytest.mark.parametrize("setting", [truncating, padding])
def test_a_raw_tokenizer_that_is_switched_later(setting: Callable[[Any], None]) -> None:
    own = TOKENIZERS["gpt2"]().backend_tokenizer
    decoder = SpeculativeDecoder(random_model("llama", tokenizer("gpt2")), own)
    setting(own)
    stream = decoder.stream(PROMPT, max_new_tokens=2)
    assert stream.prompt == tokenizer("gpt2")(PROMPT)["input_ids"]


def test_padding_by_another_thread_is_dropped() -> None:
    class Padded(type(tokenizer("gpt2"))):  # type: ignore[misc]
        def __call__(self, *_: Any, **__: Any) -> Any:
            return {"input_ids": [1, 1, 5, 6], "attention_mask": [0, 0, 1, 1]}

    own = Padded(tokenizer_object=tokenizer("gpt2").backend_tokenizer)
    assert prompt_ids(own, PROMPT) == [5, 6]


def test_a_copy_only_where_one_is_needed() -> None:
    own = TOKENIZERS["gpt2"]()
    assert unshortened(own) is own
    own.backend_tokenizer.enable_padding()
    assert unshortened(own) is not own


@pytest.mark.parametrize("role", ["target", "assistant"])
def test_a_token_added_later_is_an_error(role: str) -> None:
    owns = [TOKENIZERS["gpt2"]() for _ in range(2)]
    models = [random_model("llama", own, vocab_size=430) for own in owns]
    decoder = SpeculativeDecoder(models[0], owns[0], models[1], owns[1])
    owns[role == "assistant"].add_tokens(["zzz"])
    with pytest.raises(UnsupportedTokenizerError, match=f"{role}'s .* 420 .* 421 now; build"):
        decoder.generate(PROMPT, max_new_tokens=2)


def test_what_begins_a_text_is_not_added_to_a_text_that_has_it() -> None:
    """A rendered chat has its own beginning, and its special tokens are read as such."""
    own = tokenizer("llama2")
    for each in (own, backend_of(own)):
        assert prompt_ids(each, f"<s>{PROMPT}") == [
            1,
            *own.encode(PROMPT, add_special_tokens=False),
        ]
        assert prompt_ids(each, PROMPT)[0] == 1
        assert prompt_ids(each, f"<s><s>{PROMPT}")[:2] == [1, 1]
        assert prompt_ids(each, f"</s>{PROMPT}")[:2] == [1, 2]
