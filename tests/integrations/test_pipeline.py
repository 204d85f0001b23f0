"""A pipeline of transformers gives what it gives without an assistant."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
import transformers

import uag
from tests.support.tokenizers import PROMPT
from tests.support.transformers_calls import decoder, padded
from uag import OptionError


def pipelines() -> Iterator[Any]:
    one = decoder()
    generation: Any = {"model": one.model, "tokenizer": padded()}
    yield partial(transformers.pipeline("text-generation", **generation), custom_generate=one)
    yield transformers.pipeline("text-generation", **generation, custom_generate=one)
    yield uag.pipeline(
        **generation, assistant_model=one.assistant, assistant_tokenizer=one.assistant_tokenizer
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 3, "max_new_tokens": 9},
        {"return_full_text": False},
        {"stop_sequence": "e"},
        {"return_tensors": True},
        {"return_dict_in_generate": True},
    ],
    ids=str,
)
def test_pipelines(options: dict[str, Any]) -> None:
    options = {"max_new_tokens": 12, "do_sample": False} | options
    plain = transformers.pipeline("text-generation", model=decoder().model, tokenizer=padded())
    prompts = [PROMPT, "Once", "One day, the"]
    expected = plain(prompts, **options)
    for pipe in pipelines():
        assert pipe(prompts, **options) == expected


def test_a_pipeline_by_name(tmp_path: Any) -> None:
    one = decoder()
    for name, model, own in (
        ("target", one.model, padded()),
        ("assistant", one.assistant, one.assistant_tokenizer),
    ):
        model.save_pretrained(tmp_path / name)
        own.save_pretrained(tmp_path / name)
    pipe = uag.pipeline(
        model=str(tmp_path / "target"),
        assistant_model=str(tmp_path / "assistant"),
        model_kwargs={"dtype": torch.float64},
        max_new_tokens=7,
        do_sample=False,
    )
    assert pipe.model.dtype == torch.float64
    text = one.generate("Once", max_new_tokens=7).text
    assert pipe("Once") == [{"generated_text": "Once" + text}]


def test_pipelines_of_something_else() -> None:
    with pytest.raises(OptionError, match="task='fill-mask'"):
        uag.pipeline("fill-mask", model="somewhere")
    with pytest.raises(OptionError, match="model is missing"):
        uag.pipeline()
    with pytest.raises(OptionError, match="assistant_tokenizer is missing"):
        uag.pipeline(model=decoder().model, tokenizer=padded(), assistant_model=decoder().model)


def test_options_for_loading_reach_the_models(tmp_path: Any) -> None:
    decoder().model.save_pretrained(tmp_path)
    padded().save_pretrained(tmp_path)
    for options in ({"dtype": torch.bfloat16}, {"model_kwargs": {"dtype": "bfloat16"}}):
        assert uag.pipeline(model=str(tmp_path), **options).model.dtype == torch.bfloat16
    with pytest.raises(OptionError, match="dtype is given twice"):
        uag.pipeline(model=str(tmp_path), dtype="auto", model_kwargs={"dtype": "auto"})
    with pytest.raises(OptionError, match=r"dtype=torch\.bfloat16: the models are loaded already"):
        uag.pipeline(model=decoder().model, tokenizer=padded(), dtype=torch.bfloat16)
