"""Prompts: texts and ids in any wrapping, and those that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.faults import check_usable
from tests.support.models import random_model
from tests.support.scripted import scripted_pair
from tests.support.tokenizers import PROMPT, TOKENIZERS
from uag import PromptError, SpeculativeDecoder, UagError
from uag.requests.prompts.ids import assistant_ids


def test_a_prompt_may_be_text_or_ids_in_any_wrapping(tmp_path: Path) -> None:
    decoder = scripted_pair("llama2", "gpt2")
    words: Any = decoder.tokenizer
    ids = words(PROMPT)["input_ids"]
    path = tmp_path / "prompt.txt"
    path.write_text(PROMPT)
    prompts: list[Any] = [
        *(PROMPT, path, ids, tuple(ids), [*np.array(ids)]),
        *(torch.tensor(ids), torch.tensor([ids]), np.array(ids), np.array([ids], dtype=np.uint16)),
        *(words(PROMPT), dict(words(PROMPT)), words(PROMPT, return_tensors="pt")),
        *(words(PROMPT, return_tensors="np"), words(PROMPT, return_token_type_ids=True)),
    ]
    outs = [decoder.generate(prompt, max_new_tokens=20) for prompt in prompts]
    assert len({(out.text, *out.token_ids) for out in outs}) == 1
    assert ids == words(PROMPT)["input_ids"]


def test_several_prompts_may_come_in_any_wrapping(tmp_path: Path) -> None:
    decoder = plain_decoder()
    words: Any = decoder.tokenizer
    texts = [PROMPT, "One day", "Tom"]
    expected = [decoder.generate(text, max_new_tokens=9).token_ids for text in texts]
    lists = [words(text)["input_ids"] for text in texts]
    path = tmp_path / "prompt.txt"
    path.write_text(PROMPT)
    padded = words(texts, padding=True, return_tensors="pt")
    batches: list[Any] = [
        *(texts, [path, *texts[1:]], lists, [*map(np.array, lists)], [*map(words, texts)]),
        *(words(texts), padded, words(texts, padding=True)),
        words(texts, return_token_type_ids=True),
        *(words(texts, padding=True, return_tensors="np"), [*padded["input_ids"][:, None]]),
        *(padded["input_ids"], padded["input_ids"].numpy()),
    ]
    for batch in batches:
        outs = decoder.generate(batch, max_new_tokens=9)
        assert [out.token_ids for out in outs] == expected
    (out,) = decoder.generate(words(texts[:1]), max_new_tokens=9)
    assert out.token_ids == expected[0]


def test_padding_is_what_generate_takes_for_it() -> None:
    decoder = plain_decoder()
    prompt = torch.tensor([[0, 0, 0, *decoder.tokenizer("One day")["input_ids"]]])
    for pad in (0, 3, None):
        decoder.model.generation_config.pad_token_id = pad
        generate: Any = decoder.model.generate
        expected = generate(prompt, max_new_tokens=9, do_sample=False)[0, prompt.shape[1] :]
        assert decoder.generate(prompt, max_new_tokens=9).token_ids == expected.tolist()


def plain_decoder() -> Any:
    """A decoder whose tokenizer pads on the left, with a token that is no end."""
    words = TOKENIZERS["gpt2"]()
    words.pad_token, words.eos_token, words.padding_side = "<end>", "<begin>", "left"
    model = random_model("llama", words)
    model.generation_config.eos_token_id = None
    return SpeculativeDecoder(model, words)


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
    ([True, 5], "something other than ids in it, a bool, True; give"),
    ([10**5000], "has id <int>, but"),
    (torch.tensor([5.5, 6.0]), "tensor of torch.float32; give ids"),
    (torch.tensor([True]), "tensor of torch.bool; give ids"),
    (torch.zeros(2, 3, 4, dtype=torch.long), r"shape \(2, 3, 4\)"),
    (torch.tensor(5), r"shape \(\); give one row of ids"),
    (np.array([5.5]), "tensor of torch.float64; give ids"),
    (np.array(["Once"]), r"the prompt is a ndarray, array\(\['Once'\]"),
    (None, "the prompt is None; give a text"),
    (b"Once", "the prompt is a bytes, b'Once'; give a text"),
    ({"text": "Once"}, "the prompt has no input_ids, but 'text'"),
    ({"input_ids": [5, 6], "token_type_ids": [0, 1]}, r"cannot read this prompt.*token_type_ids"),
    ({"input_ids": [5, 6], "attention_mask": [1]}, "attention_mask has another shape"),
    ({"input_ids": [5, 6], "attention_mask": 1}, "attention_mask has another shape"),
    ({"input_ids": [5, 6], "attention_mask": [1, 0]}, "padded on the right, or within"),
    ({"input_ids": [5, 6], "attention_mask": [0, 0]}, "prompt is empty"),
    ({"input_ids": "Once"}, "input_ids are a str, 'Once'; give ids"),
    (Path("none.txt"), "cannot read the prompt from none.txt"),
    ([5, "two"], "give a text, a chat or a list"),
    (7, "the prompt is an int, 7; give a text, a chat or a list"),
    ({"inputs_embeds": 5}, "has no input_ids, but 'inputs_embeds'"),
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
        with pytest.raises(UagError, match=message):
            call(prompt, max_new_tokens=3)
    check_usable(decoder)


def test_several_prompts_may_be_arrays(decoder: SpeculativeDecoder) -> None:
    ids = [5, 6, 7]
    outs = decoder.generate([np.array(ids), ids], max_new_tokens=3)
    assert outs[0].token_ids == outs[1].token_ids


def test_a_stream_is_of_one_prompt(decoder: SpeculativeDecoder) -> None:
    with pytest.raises(PromptError, match=r"shape \(2, 3\); give one row"):
        decoder.stream(torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(PromptError, match="give a text, a chat or a list"):
        decoder.stream([PROMPT, PROMPT])
