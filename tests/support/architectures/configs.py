"""A tiny configuration for a class of transformers: its own defaults, with other sizes."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

from tests.support.architectures.sizes import ALWAYS, HEADS, LAYERS, PARTICULAR, SIZES, VISION

Config = type[PreTrainedConfig]

# Lists with a type for each layer.
PATTERNS = ("layer_types", "mlp_layer_types", "layers_block_type")

VOCABULARIES = ("vocab_size", "vocab_size_per_layer_input", "decoder_vocab_size")

SPECIAL_IDS = {
    "bos_token_id": 1,
    "eos_token_id": 0,
    "pad_token_id": 1,
    "sep_token_id": 1,
    "decoder_start_token_id": 1,
}

LANGUAGE = ("text", "llm", "language", "decoder")


def tiny_config(kind: str, vocabulary: int, **changes: Any) -> PreTrainedConfig:
    """The configuration of `kind` with tiny sizes, and `changes` to that.

    >>> tiny_config("llama", 100, sliding_window=8).hidden_size
    32
    """
    cls = CONFIG_MAPPING[kind]
    return cls(**_language(cls, vocabulary) | changes)


def _language(cls: Config, vocabulary: int) -> dict[str, Any]:
    """The values of a class that holds a language model, or is one."""
    defaults = _defaults(cls)
    values: dict[str, Any] = {}
    for name, default in defaults.items():
        if name in VOCABULARIES or (name == "unpadded_vocab_size" and default is not None):
            values[name] = vocabulary
        elif name in SIZES and (default is not None or name in ALWAYS):
            values[name] = SIZES[name]
        elif name in SPECIAL_IDS and isinstance(default, int):
            values[name] = SPECIAL_IDS[name]
        elif isinstance(default, float) and ("dropout" in name or name.endswith("pdrop")):
            values[name] = 0.0
    if "kv_lora_rank" in defaults and "num_key_value_heads" in values:
        values["num_key_value_heads"] = HEADS
    if "tie_word_embeddings" in defaults:
        values["tie_word_embeddings"] = False  # otherwise a random model repeats its last id
    values |= _pattern(cls, defaults)
    values |= _placeholders(defaults, vocabulary)
    return _with_parts(cls, values, vocabulary) | _particular(cls)


def _vision(cls: Config) -> dict[str, Any]:
    """The values of a class that sees or hears."""
    values = {
        name: VISION[name]
        for name, default in _defaults(cls).items()
        if name in VISION and isinstance(default, int) and not isinstance(default, bool)
    }
    return values | _particular(cls)


def _particular(cls: Config) -> dict[str, Any]:
    """What the class alone needs, but for its parts' share."""
    needs = PARTICULAR.get(cls.model_type, {})
    return {name: value for name, value in needs.items() if name not in cls.sub_configs}


def _with_parts(cls: Config, values: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """With a configuration for each part: of language, of vision, of sound."""
    default = _instance(cls)
    for name, named in cls.sub_configs.items():
        part = getattr(default, name, None)
        kind = type(part) if isinstance(part, PreTrainedConfig) else named
        if part is None and not dataclasses.is_dataclass(named):
            continue
        speaks = "vision" not in name and any(word in name for word in LANGUAGE)
        inner = _language(kind, vocabulary) if speaks else _vision(kind)
        rope = getattr(part, "rope_parameters", None)
        if speaks and isinstance(rope, dict) and "mrope_section" in rope:
            inner["rope_parameters"] = rope | {"mrope_section": [2, 1, 1]}
        values[name] = kind(**inner | PARTICULAR.get(cls.model_type, {}).get(name, {}))
    return values


def _pattern(cls: Config, defaults: dict[str, Any]) -> dict[str, Any]:
    """Layers of every type that the class has by default, in turns."""
    default = _instance(cls)
    types = {name: getattr(default, name, None) for name in PATTERNS if name in defaults}
    cycles = {
        name: list(dict.fromkeys(value))
        for name, value in types.items()
        if isinstance(value, list | tuple) and len(set(value)) > 1
    }
    if not cycles:
        return {}
    layers = max(LAYERS, *map(len, cycles.values()))
    counts = {name: layers for name in ("num_hidden_layers", "num_layers") if name in defaults}
    return {name: _repeated(cycle, layers) for name, cycle in cycles.items()} | counts


def _repeated(cycle: Iterable[str], length: int) -> list[str]:
    each = list(cycle)
    return [each[at % len(each)] for at in range(length)]


def _placeholders(defaults: dict[str, Any], vocabulary: int) -> dict[str, int]:
    """Ids that stand for images and sounds, at the end of the vocabulary."""
    names = [
        name
        for name, default in defaults.items()
        if name.endswith(("token_id", "token_index"))
        and name not in SPECIAL_IDS
        and isinstance(default, int)
        and default >= vocabulary
    ]
    return {name: vocabulary - 1 - at for at, name in enumerate(names)}


def _defaults(cls: Config) -> dict[str, Any]:
    """What each setting of the class is by default; `None` where it has none."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        given = field.default is not dataclasses.MISSING
        made = field.default_factory is not dataclasses.MISSING
        found[field.name] = (
            field.default if given else field.default_factory() if made else None  # type: ignore[misc]
        )
    return found


def _instance(cls: Config) -> PreTrainedConfig | None:
    """The class with its defaults, where it has enough of them."""
    try:
        return cls()
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
