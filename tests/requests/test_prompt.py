"""Prompts: texts and ids in any wrapping, and those that are refused."""

from typing import Any

import pytest
import torch

from tests.support.faults import check_usable
from tests.support.scripted import scripted_pair
from tests.support.tokenizers import PROMPT
from uag import PromptError, SpeculativeDecoder
from uag.requests.prompt import assistant_ids


def test_a_prompt_may_be_text_or_ids_in_any_wrapping() -> None:
    decoder = scripted_pair("llama2", "gpt2")
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    prompts = [PROMPT, ids, torch.tensor(ids), torch.tensor([ids])]
    outs = [decoder.generate(prompt, max_new_tokens=20) for prompt in prompts]
    assert len({(out.text, *out.token_ids) for out in outs}) == 1
    assert ids == decoder.tokenizer(PROMPT)["input_ids"]


@pytest.mark.parametrize(
    ("target", "assistant"), [("llama2", "gpt2"), ("gpt2", "llama2"), ("llama3", "llama2")]
)
def test_both_models_read_the_prompt_as_their_own_tokenizer_writes_it(
    target: str, assistant: str
) -> None:
    decoder = scripted_pair(target, assistant)
    own = decoder.assistant_tokenizer(PROMPT)["input_ids"]
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    for prompt in (PROMPT, ids):
        assert assistant_ids(prompt, decoder.assistant_tokenizer, decoder.bridge) == own


def test_a_prompt_may_be_what_a_tokenizer_returns(decoder: SpeculativeDecoder) -> None:
    own: Any = decoder.tokenizer
    out = decoder.generate(PROMPT, max_new_tokens=8)
    ids, other = own(PROMPT)["input_ids"], own("Once")["input_ids"]
    for inputs in (own(PROMPT), own(PROMPT, return_tensors="pt"), own(PROMPT, return_tensors="np")):
        for kinds in ({}, {"token_type_ids": [0] * len(ids)}):
            prompt = dict(inputs) | kinds
            assert decoder.generate(prompt, max_new_tokens=8).token_ids == out.token_ids
    assert [*decoder.stream(own(PROMPT), max_new_tokens=8)] == [
        *decoder.stream(PROMPT, max_new_tokens=8)
    ]
    padding = [0] * (len(ids) - len(other))
    mask = [[0] * len(padding) + [1] * len(other), [1] * len(ids)]
    batch = {"input_ids": [padding + other, ids], "attention_mask": mask}
    for rows in (batch, {name: torch.tensor(each) for name, each in batch.items()}):
        outs = decoder.generate(rows, max_new_tokens=8)
        assert isinstance(outs, list) and outs[1].token_ids == out.token_ids
        assert outs[0].token_ids == decoder.generate("Once", max_new_tokens=8).token_ids
        with pytest.raises(PromptError, match="input_ids: there are 2 rows"):
            decoder.stream(rows, max_new_tokens=8)
    several = decoder.generate([own("Once"), own(PROMPT)], max_new_tokens=8)
    assert [each.token_ids for each in several] == [each.token_ids for each in outs]


BAD_PROMPTS: list[tuple[Any, str]] = [
    ("", "prompt is empty"),
    ([], "prompt is empty"),
    ([1, 2, 99999], "id 99999, but the target's ids go from 0 to 419"),
    ([5, -1], "id -1"),
    ("\ud800", "lone surrogate"),
    (PROMPT + "\udfff" + PROMPT, "lone surrogate"),
    ([True, 5], "something other than ids"),
    ([10**5000], "has id <int>, but"),
    (torch.tensor([5.5, 6.0]), "tensor of torch.float32; give ids"),
    (torch.tensor([True]), "tensor of torch.bool; give ids"),
    (torch.zeros(2, 3, dtype=torch.long), r"shape \(2, 3\)"),
    ([5, "two"], "give a text, a chat or a list"),
    (7, "give a text, a chat or a list"),
    ({"inputs_embeds": 5}, "has no input_ids, but 'inputs_embeds'"),
    ({"input_ids": [5, 6], "attention_mask": [1, 0]}, "padded on the right"),
    ({"input_ids": torch.tensor([[5.5]])}, "tensor of torch.float32"),
    ({"input_ids": [5, 6], "pixel_values": torch.ones(1)}, "cannot read this prompt"),
]


@pytest.mark.parametrize(
    ("prompt", "message"), BAD_PROMPTS, ids=[message for _, message in BAD_PROMPTS]
)
def test_prompts_that_cannot_be_read(
    decoder: SpeculativeDecoder, prompt: Any, message: str
) -> None:
    def second(prompt: Any, **options: Any) -> None:
        decoder.generate([PROMPT, prompt], **options)

    for call in (decoder.generate, decoder.stream, second):
        with pytest.raises(PromptError, match=message):
            call(prompt, max_new_tokens=3)
    check_usable(decoder)


def test_a_stream_is_of_one_prompt(decoder: SpeculativeDecoder) -> None:
    with pytest.raises(PromptError, match="give a text, a chat or a list"):
        decoder.stream([PROMPT, PROMPT])
