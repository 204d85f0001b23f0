"""Calls of `model.generate`, with `custom_generate=` and without."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, StoppingCriteria
from transformers.generation import BaseStreamer

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import OptionError, PromptError, SpeculativeDecoder

TARGET = "gpt2"


@cache
def padded() -> PreTrainedTokenizerFast:
    """The target's tokenizer, which pads on the left."""
    copy = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(TARGET).backend_tokenizer, eos_token="<end>", pad_token="<begin>"
    )
    copy.padding_side = "left"
    return copy


@cache
def decoder(assistant: str = "llama2", **options: Any) -> SpeculativeDecoder:
    """With an assistant that is seldom right, or with "itself", which always is."""
    target = random_model("llama", padded())
    if assistant == "itself":
        return SpeculativeDecoder(target, padded(), target, padded(), lookahead=4, **options)
    other = tokenizer(assistant)
    return SpeculativeDecoder(target, padded(), random_model("llama", other), other, **options)


def inputs(*prompts: str) -> dict[str, Tensor]:
    return dict(padded()(list(prompts), return_tensors="pt", padding=True))


def both(decoder: SpeculativeDecoder, rows: dict[str, Tensor], **options: Any) -> tuple[Any, Any]:
    generate: Any = decoder.model.generate
    return generate(**rows, custom_generate=decoder, **options), generate(**rows, **options)


class EachEnd(StoppingCriteria):
    """Ends each row after another id."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return input_ids[:, -1] % (7 + torch.arange(len(input_ids))) == 0


def refused(message: str, rows: dict[str, Any] | None = None, **options: Any) -> None:
    one = decoder()
    generate: Any = options.pop("generate", one.model.generate)
    options = {"max_new_tokens": 4, "custom_generate": one} | options
    with pytest.raises((OptionError, PromptError), match=message):
        generate(**(rows or inputs("Once", "One day, the")), **options)
    assert len(one.generate(PROMPT, max_new_tokens=3).token_ids) == 3


class RecordingStreamer(BaseStreamer):
    """Remembers what it gets."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.ended = 0

    def put(self, value: Tensor) -> None:
        assert value.device.type == "cpu" and not self.ended
        self.values.append(value)

    def end(self) -> None:
        self.ended += 1
