"""Configurations whose rope or masks change within a text, beside the defaults of each class."""

from typing import Any

from tests.support.architectures.sizes import ROPE

# Texts of forty new ids cross it, whatever their prompt.
LINE = 32

_LONG: dict[str, Any] = {
    "original_max_position_embeddings": LINE,
    "max_position_embeddings": 256,
    "rope_parameters": ROPE
    | {
        "rope_type": "longrope",
        "short_factor": [1.0] * 4,
        "long_factor": [3.0, 4.0, 5.0, 6.0],
        "original_max_position_embeddings": LINE,
        "factor": 8.0,
    },
}

_LONG_ALONE = {name: value for name, value in _LONG.items() if not name.startswith("original")}


def _scaled(rope_type: str, **more: Any) -> dict[str, Any]:
    scaling = {"rope_type": rope_type, "factor": 8.0, "original_max_position_embeddings": LINE}
    return {"rope_parameters": ROPE | scaling | more}


_DYNAMIC: dict[str, Any] = {
    "max_position_embeddings": LINE,
    "rope_parameters": ROPE | {"rope_type": "dynamic", "factor": 4.0},
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "phi3-longrope": ("phi3", _LONG),
    "phimoe-longrope": (
        "phimoe",
        _LONG
        | {"rope_parameters": _LONG["rope_parameters"] | {"short_mscale": 1.0, "long_mscale": 1.2}},
    ),
    "llama-longrope": ("llama", _LONG_ALONE),
    "llama-dynamic": ("llama", _DYNAMIC),
    "qwen2-dynamic": ("qwen2", _DYNAMIC),
    "llama-yarn": ("llama", _scaled("yarn")),
    "llama-llama3": ("llama", _scaled("llama3", low_freq_factor=1.0, high_freq_factor=4.0)),
    "llama-linear": ("llama", _scaled("linear")),
    "llama-beyond": ("llama", {"max_position_embeddings": LINE}),
    "qwen2-window": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 8,
            "max_window_layers": 2,
            "layer_types": None,
        },
    ),
    "mistral-full": ("mistral", {"sliding_window": None}),
    "mistral-24": ("mistral", {"sliding_window": 24}),
    "gemma3-24": ("gemma3_text", {"sliding_window": 24}),
    "gpt_oss-24": ("gpt_oss", {"sliding_window": 24}),
    "inkling-24": ("inkling_text", {"sliding_window_size": 24}),
    "llama4-24": ("llama4_text", {"attention_chunk_size": 24}),
    "llama4-60": ("llama4_text", {"attention_chunk_size": 60}),
    "deepseek_v32-24": ("deepseek_v32", {"index_topk": 24}),
    "gpt_neo-24": ("gpt_neo", {"window_size": 24}),
    "gemma3n-shared": ("gemma3n_text", {"num_kv_shared_layers": 2}),
    "gemma4-shared": ("gemma4_text", {"num_kv_shared_layers": 2}),
    "gpt_bigcode-heads": ("gpt_bigcode", {"multi_query": False}),
    "falcon-alibi": ("falcon", {"alibi": True}),
    "falcon-old": (
        "falcon",
        {"new_decoder_architecture": False, "multi_query": True, "alibi": False},
    ),
    "minimax-4": ("minimax", {"block_size": 4}),
    "mamba2-4": ("mamba2", {"chunk_size": 4}),
    "deepseek_v4-4": (
        "deepseek_v4",
        {"compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8}},
    ),
    "jamba-8": (
        "jamba",
        {
            "hidden_size": 64,
            "num_hidden_layers": 8,
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
        },
    ),
}
