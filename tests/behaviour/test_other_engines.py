"""What the campaigns in vLLM and llama.cpp stand on; `make vllm` and `make llama-cpp` run them."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benches.widen import logits_difference
from tests.campaigns.vllm import p_value
from tests.support.models import SMALL
from tests.support.other_engines.heads import fitting


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_heads_of_another_size_and_number_give_the_same_logits(workers: int) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL, vocab_size=64)).eval().double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    wide = fitting(model, 32, workers)
    assert wide.config.head_dim == 32
    assert wide.config.num_key_value_heads % workers == 0
    assert logits_difference(model, wide) < 1e-6


def test_draws_from_another_distribution_are_noticed() -> None:
    random = np.random.default_rng(0)
    some, same = random.choice(5, (2, 400), p=[0.5, 0.2, 0.1, 0.1, 0.1])
    others = random.choice(5, 400, p=[0.3, 0.4, 0.1, 0.1, 0.1])
    assert p_value(some, same) > 0.01 > p_value(some, others)
