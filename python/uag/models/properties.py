"""Properties of a loaded model: its device, sizes, window, arguments and end-of-text ids."""

import inspect
from collections.abc import Container
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
import torch.distributed
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
)

from uag.translation.tokenizers import AnyTokenizer, tokenizer_end_id

# Of each model, whether there is a table of so many positions.
_position_tables: WeakKeyDictionary[PreTrainedModel, dict[int, bool]] = WeakKeyDictionary()


def device_of(model: PreTrainedModel) -> torch.device:
    """The device that a model's ids must be on.

    It is that of the weights or, if they are offloaded, the one they are moved to for a pass.

    >>> device_of(target)
    device(type='cpu')
    """
    if model.device.type != "meta":
        return model.device
    hooks = [getattr(module, "_hf_hook", None) for module in cast("Any", model).modules()]
    places = [getattr(hook, "execution_device", None) for hook in hooks]
    return torch.device(next((place for place in places if place is not None), model.device))


def embedding_rows(model: PreTrainedModel) -> int:
    """Number of rows of the input embedding: ids from 0 up to this can be read."""
    return cast("torch.nn.Embedding", model.get_input_embeddings()).weight.shape[0]


def vocabulary_rows(model: PreTrainedModel) -> int:
    """Number of ids that the model has logits for."""
    return cast("int", cast("Any", text_config(model)).vocab_size)


def parameter_count(model: PreTrainedModel) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def context_window(model: PreTrainedModel) -> int | None:
    """The most ids that the model was made for in one sequence; `None` if it names no limit.

    >>> context_window(target)
    256
    """
    config = text_config(model)
    names = ("max_position_embeddings", "max_seq_len")
    named = [cast("int | None", getattr(config, name, None)) for name in names]
    return next((length for length in named if length is not None and length > 0), None)


def position_limit(model: PreTrainedModel) -> int | None:
    """The most ids that there are positions for, where each is a row of a table; else `None`.

    The table may be learned (GPT-2), computed once (GPT-J, CTRL) or made for each pass (MPT).

    >>> position_limit(target) is None  # it computes positions as it goes
    True
    """
    window = context_window(model)
    if window is None:
        return None
    # A walk through all modules takes a millisecond or more, and each text asks.
    known = _position_tables.setdefault(model, {})
    if window not in known:
        modules: list[tuple[str, torch.nn.Module]] = list(cast("Any", model).named_modules())
        known[window] = any(_has_positions(name, module, window) for name, module in modules)
    return window if known[window] else None


def _has_positions(name: str, module: torch.nn.Module, window: int) -> bool:
    """Whether a module is or holds a table of about `window` positions."""
    if hasattr(module, "build_mpt_alibi_tensor"):
        return True
    # A buffer that is not named after positions grows where it must (XGLM).
    tables = [table for own, table in module.named_buffers(recurse=False) if "pos" in own]
    if isinstance(module, torch.nn.Embedding) and ("pos" in name or "wpe" in name):
        tables.append(module.weight)
    # Some tables have a few rows of padding.
    return any(table.dim() > 1 and window <= len(table) <= window + 8 for table in tables)


def end_ids(model: PreTrainedModel, tokenizer: AnyTokenizer) -> list[int]:
    """The ids that end a text, the main one first.

    They are those of the model's generation config or, if it has none, the tokenizer's.

    >>> end_ids(target, target_tokenizer)
    [0]
    """
    configured = cast(
        "int | list[int] | None", getattr(model.generation_config, "eos_token_id", None)
    )
    if configured is None:
        own = tokenizer_end_id(tokenizer)
        return [] if own is None else [own]
    return [configured] if isinstance(configured, int) else list(configured)


def text_config(model: PreTrainedModel) -> PreTrainedConfig:
    """The configuration of the language model, even if that is a part of a larger model."""
    return cast("Any", model.config).get_text_config(decoder=True)


def layer_configs(config: PreTrainedConfig) -> list[Any]:
    """The configuration of each layer: mostly the whole one, but layers may differ (Gemma 4).

    What differs, such as the size of heads, is no attribute of the whole one.

    >>> len(layer_configs(target.config)) == target.config.num_hidden_layers
    True
    """
    whole = cast("Any", config)
    differ = getattr(config, "is_heterogeneous", False)
    return [*whole.per_layer_config] if differ else [config] * whole.num_hidden_layers


def head_size(layer: Any) -> int:
    """Numbers of a head of the keys of a layer, by its configuration.

    >>> head_size(target.config)
    8
    """
    size = getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads
    return cast("int", size)


def parameters_of(model: PreTrainedModel) -> Container[str]:
    """Names of the arguments of the model's `forward`."""
    return inspect.signature(model.forward).parameters


def attention_of(model: PreTrainedModel) -> str:
    """The name of the model's attention implementation, such as "sdpa"."""
    return cast("str", cast("Any", text_config(model))._attn_implementation)


def cache_name(model: PreTrainedModel) -> str:
    """The name of the model's cache argument; "cache" from transformers 5.24 on.

    >>> cache_name(target) in ("past_key_values", "cache")
    True
    """
    parameters = parameters_of(model)
    names = (name for name in ("cache_params", "past_key_values", "cache") if name in parameters)
    return next(names, "past_key_values")


def keeps_logits(model: PreTrainedModel) -> bool:
    """Whether the model can compute the logits of its last positions only."""
    return "logits_to_keep" in parameters_of(model)


def weights_version(model: PreTrainedModel) -> int:
    """A number that changes when weights are replaced, or changed in place as training does.

    >>> weights_version(target) == weights_version(target)
    True
    """
    return hash(tuple(map(_version, cast("Any", model).parameters())))


def _version(weight: torch.Tensor) -> tuple[int, int]:
    try:
        return id(weight), weight._version
    except RuntimeError:  # a tensor made for inference, which cannot be changed outside of it
        return id(weight), 0


def is_sharded(model: object) -> bool:
    """Whether other processes compute parts of the model (tensor parallelism)."""
    return (
        isinstance(model, PreTrainedModel)
        and torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and (cast("int | None", getattr(model, "tp_size", None)) or 1) > 1
    )
