"""Heads of another size, with the same logits: vLLM's attention on a CPU has a few sizes only."""

import copy
import math
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from benches.widen import logits_difference, widened


def fitting(model: LlamaForCausalLM, size: int, workers: int) -> LlamaForCausalLM:
    """The model with heads whose size is a multiple of `size`, divisible among workers."""
    config: Any = model.config
    group = config.num_attention_heads // config.num_key_value_heads
    kv_heads = _multiple(config.num_key_value_heads, workers)
    heads = kv_heads * group
    hidden = _multiple(config.hidden_size, heads)  # as transformers demands, whatever a head's size
    wide: Any = widened(model, hidden=hidden, heads=heads, kv_heads=kv_heads)
    return with_heads_of(wide, _multiple(config.head_dim, size))


@torch.no_grad()
def with_heads_of(model: LlamaForCausalLM, size: int) -> LlamaForCausalLM:
    """The model with zeros in the new places of each head.

    A pair of places that is rotated keeps its frequency, so that of the last grows.
    """
    config: Any = copy.deepcopy(model.config)
    old = config.head_dim
    config.head_dim = size
    config.rope_parameters["rope_theta"] **= size / old
    wide = type(model)._from_config(config, dtype=model.dtype).eval()
    parameters = dict(wide.named_parameters())
    for name, trained in model.named_parameters():
        match name.split(".")[-2]:
            case "q_proj" | "k_proj" as module:
                halves = trained.unflatten(0, (-1, 2, old // 2))
                placed = _padded(halves, 2, size // 2).flatten(0, 2)
                # The scores are divided by the root of the size.
                scale = math.sqrt(size / old) if module == "q_proj" else 1.0
                parameters[name].copy_(placed * scale)
            case "v_proj":
                heads = trained.unflatten(0, (-1, old))
                parameters[name].copy_(_padded(heads, 1, size).flatten(0, 1))
            case "o_proj":
                heads = trained.unflatten(1, (-1, old))
                parameters[name].copy_(_padded(heads, 2, size).flatten(1, 2))
            case _:
                parameters[name].copy_(trained)
    difference = logits_difference(model, wide)
    assert difference < 1e-4, f"logits differ by {difference:.2g} of the largest"
    return wide


def _padded(values: Tensor, axis: int, size: int) -> Tensor:
    """Zeros after the values along an axis, up to `size`."""
    shape = [*values.shape]
    shape[axis] = size - shape[axis]
    return torch.cat([values, values.new_zeros(shape)], axis)


def _multiple(number: int, of: int) -> int:
    """The next multiple."""
    return -(-number // of) * of
