"""A model's size and what one forward pass reads, from its configuration, without its weights."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from uag.models.properties import head_size, layer_configs

# Names in configurations for the number of experts of a layer, and for how many process a token.
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
VISITED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk")
# Bits of a parameter for quantization formats whose configuration does not say.
FORMATS = {"fp8": 8, "fbgemm_fp8": 8, "mxfp4": 4, "bitnet": 2}


@dataclass(frozen=True, slots=True)
class Size:
    """A model's size.

    Attributes:
        parameters: number of all parameters.
        active: number of parameters that a pass over one id reads: without the input embeddings
            (only one row is read) and without the experts that do not process the id.
        bits: bits of a stored parameter.
        layers: number of layers.
        cache_bytes: bytes that the KV cache grows by for each id, in the stored number type; `None`
            if the configuration lacks the usual fields, or some layer does not attend to the whole
            sequence.
    """

    parameters: int
    active: int
    bits: float
    layers: int
    cache_bytes: int | None

    @property
    def bytes(self) -> int:
        """Bytes of all weights."""
        return round(self.parameters * self.bits / 8)

    @property
    def read_bytes(self) -> int:
        """Bytes of the weights that a pass over one id reads."""
        return round(self.active * self.bits / 8)


def unloaded(config: PreTrainedConfig, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The causal language model that a configuration describes, without weights.

    It is built on the meta device, without memory for them, so even a large one takes about a
    second.

    >>> unloaded(target.config).device
    device(type='meta')

    Raises:
        ValueError: if transformers has no causal language model for it.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cast(
            "PreTrainedModel",
            cast("Any", AutoModelForCausalLM).from_config(
                config, trust_remote_code=trust_remote_code
            ),
        )


def size_of(model: PreTrainedModel, config: PreTrainedConfig) -> Size:
    """The size of a model, which may be `unloaded`, by its configuration.

    >>> size = size_of(unloaded(target.config), target.config)
    >>> size.parameters == sum(parameter.numel() for parameter in target.parameters())
    True
    """
    text: Any = cast("Any", config).get_text_config(decoder=True)
    bits = _bits(config)
    return Size(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        active=_active(model, text),
        bits=bits,
        layers=int(text.num_hidden_layers),
        cache_bytes=_cache_bytes(text, _dtype(config).itemsize),
    )


def _active(model: PreTrainedModel, text: Any) -> int:
    inputs = cast("torch.nn.Embedding", model.get_input_embeddings()).weight
    output = cast("torch.nn.Module | None", model.get_output_embeddings())
    # Tied embeddings are read whole, for the logits.
    tied = output is None or bool(text.tie_word_embeddings)
    experts, visited = _first(text, EXPERTS), _first(text, VISITED)
    share = min(1.0, visited / experts) if experts and visited else 1.0
    total = 0.0
    for name, parameter in model.named_parameters():
        if (parameter is inputs and not tied) or "vision" in name or "audio" in name:
            continue
        total += parameter.numel() * (share if ".experts." in name else 1.0)
    return round(total)


def _first(text: Any, names: Iterable[str]) -> int | None:
    return next((found for name in names if (found := getattr(text, name, None))), None)


def _dtype(config: PreTrainedConfig) -> torch.dtype:
    found = cast("Any", getattr(config, "dtype", None))
    if isinstance(found, str):
        found = getattr(torch, found.removeprefix("torch."), None)
    return found if isinstance(found, torch.dtype) else torch.float32


def _bits(config: PreTrainedConfig) -> float:
    """Bits of a parameter; that quantized models keep a few layers in more bits is ignored."""
    found = cast("Any", getattr(config, "quantization_config", None))
    settings = cast("dict[str, Any]", found if isinstance(found, dict) else vars(found or _Nothing))
    if isinstance(bits := settings.get("bits"), int):
        return bits
    for bits in (4, 8):
        if settings.get(f"load_in_{bits}bit"):
            return bits
    return FORMATS.get(str(settings.get("quant_method")), 8 * _dtype(config).itemsize)


class _Nothing:
    """Stands for the missing quantization config of a model that is not quantized."""


def _cache_bytes(text: Any, number: int) -> int | None:
    kinds = set(cast("list[str]", getattr(text, "layer_types", None) or ["full_attention"]))
    if kinds != {"full_attention"} or hasattr(text, "kv_lora_rank"):
        return None
    numbers = [_numbers_of_a_place(layer) for layer in layer_configs(text)]
    return None if None in numbers else number * sum(cast("list[int]", numbers))


def _numbers_of_a_place(layer: Any) -> int | None:
    """Of keys and values, for one id."""
    heads = getattr(layer, "num_attention_heads", None)
    if not heads or not getattr(layer, "hidden_size", None):
        return None
    return 2 * (getattr(layer, "num_key_value_heads", None) or heads) * head_size(layer)
