"""The decoder that bad input is given to."""

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder


@pytest.fixture(scope="module")
def decoder() -> SpeculativeDecoder:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    return SpeculativeDecoder(models[0], target, models[1], assistant)
