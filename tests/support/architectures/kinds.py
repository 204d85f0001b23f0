"""The kinds of models there are, the oddest and the newest first."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from tests.support.architectures.variants import VARIANTS

# Each has some way of its own to read: its positions, state, cache, masks or experts.
ODD = (
    *("phi3-longrope", "phimoe-longrope", "llama-longrope", "llama-dynamic", "gpt_neo"),
    *("bamba", "jamba", "mamba", "falcon_mamba", "mamba2", "zamba", "zamba2", "nemotron_h"),
    *("recurrent_gemma", "rwkv", "xlstm", "openai-gpt", "reformer", "xlnet", "xlm", "cpmant"),
    *("minimax", "deepseek_v4", "moshi", "roberta", "xmod", "qwen3_next", "gpt_oss"),
    *("gemma3n_text", "llama4_text", "paligemma", "qwen2_5_vl", "falcon_h1", "gemma3", "mpt"),
)


def kinds() -> list[str]:
    """Every kind and variant once."""
    causal: list[str] = [*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES]
    multimodal = [
        kind
        for kind, name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.items()
        if MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind) != name
    ]
    newest = sorted([*causal, *multimodal], key=lambda kind: (-_year(kind), kind))
    known = {*newest, *VARIANTS}
    return list(dict.fromkeys([*(kind for kind in ODD if kind in known), *newest, *VARIANTS]))


CAUSAL, VARIANT, MULTIMODAL = "causal", "variant of a causal", "image-text-to-text"


def group_of(kind: str) -> str:
    """The class's mapping, or that it is a variant."""
    if kind in VARIANTS:
        return VARIANT
    return CAUSAL if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else MULTIMODAL


@cache
def _year(kind: str) -> int:
    """The last year in the notice at the head of the class's file."""
    package = find_spec("transformers")
    assert package is not None and package.origin is not None
    name = model_type_to_module_name(kind)
    file = Path(package.origin).parent / "models" / name / f"modeling_{name}.py"
    head = file.read_text(errors="replace")[:1000] if file.exists() else ""
    return max(map(int, re.findall(r"\b20[12]\d\b", head)), default=0)
