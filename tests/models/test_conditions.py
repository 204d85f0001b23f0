"""The conditions of a run are those of its models."""

import torch

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag.models.conditions import conditions


def test_each_model_has_its_own_number_type() -> None:
    name = tokenizer("gpt2")
    target, assistant = random_model("llama", name), random_model("llama", name)
    found = conditions(target, assistant.to(torch.bfloat16))
    assert (found["dtype"], found["assistant_dtype"]) == ("float32", "bfloat16")
    assert (found["device"], found["assistant_device"]) == ("cpu", "cpu")
    assert found["threads"] == torch.get_num_threads()


def test_of_a_lookup_nothing_is_told() -> None:
    found = conditions(random_model("llama", tokenizer("gpt2")), "lookup")
    assert found["assistant_dtype"] is found["assistant_device"] is None
