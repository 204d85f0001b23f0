"""Sizes counted from a configuration are those of the model itself."""

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.support.architectures.configs import tiny_config
from tests.support.models import ARCHITECTURES, random_model
from tests.support.tokenizers import tokenizer
from uag.inspection.model_size import size_of, unloaded


def held_by(model: PreTrainedModel, ids: Tensor) -> int:
    """Bytes of the KV cache after a pass over ids."""
    cache = model(input_ids=ids, use_cache=True).past_key_values
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sizes_are_those_of_the_model(architecture: str) -> None:
    model = random_model(architecture, tokenizer("gpt2"))
    size = size_of(unloaded(model.config), model.config)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.bytes == 4 * size.parameters
    assert 0 < size.active <= size.parameters and size.layers == 2
    if size.cache_bytes is not None:
        ids = model.dummy_inputs["input_ids"][:1, :3]
        assert held_by(model, ids) == size.cache_bytes * ids.shape[1]


def test_experts_that_an_id_does_not_visit_are_not_read() -> None:
    model = random_model("mixtral", tokenizer("gpt2"))
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    inputs = model.get_input_embeddings().weight.numel()
    size = size_of(unloaded(model.config), model.config)
    assert experts and size.active == size.parameters - experts // 2 - inputs


def test_layers_may_differ() -> None:
    """Their heads then are no attribute of the whole configuration."""
    config = tiny_config("gemma4_text", 64, layer_types=["full_attention"] * 4)
    assert config.is_heterogeneous
    model = AutoModelForCausalLM.from_config(config)
    ids = torch.tensor([[1, 2, 3]])
    assert held_by(model, ids) == 3 * size_of(unloaded(config), config).cache_bytes
