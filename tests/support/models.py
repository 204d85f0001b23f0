"""Tiny models with random weights, made in the process: nothing is downloaded.

A random model's text is noise, and no tokenizer would give its ids. `with_story` makes a model that
tells a story most of the time, so that drafts can be right.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.cache_utils import CacheLayerMixin

from tests.support.tokenizers import PROMPT, TEXT, tokenizer
from uag.models.properties import device_of

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "head_dim": 8,
}

GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}

FALCON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "new_decoder_architecture": True,
    "num_kv_heads": 2,
}

NEOX: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}

MAMBA: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}

HYBRID: dict[str, Any] = SMALL | {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}

CONV: dict[str, Any] = SMALL | {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}

# Windows are small enough for a short text to leave them.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SMALL),
    "mistral-window": ("MistralConfig", SMALL | {"sliding_window": 8}),
    "mixtral": ("MixtralConfig", SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gemma2": ("Gemma2Config", SMALL | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3TextConfig", SMALL | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "qwen2": ("Qwen2Config", SMALL),
    "qwen3": ("Qwen3Config", SMALL),
    "phi3": ("Phi3Config", SMALL | {"pad_token_id": 0}),
    "gpt2": ("GPT2Config", GPT),
    "gpt-bigcode": ("GPTBigCodeConfig", GPT | {"multi_query": True}),
    "gpt-neox": ("GPTNeoXConfig", NEOX),
    "falcon": ("FalconConfig", FALCON),
    "mamba": ("MambaConfig", MAMBA),
    "qwen3-next": ("Qwen3NextConfig", HYBRID),
    "lfm2": ("Lfm2Config", CONV),
}


def random_model(
    architecture: str, tokenizer: PreTrainedTokenizerFast, seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """A tiny model with as many ids as the tokenizer, its weights drawn from `seed`."""
    name, settings = ARCHITECTURES[architecture]
    config = getattr(transformers, name)(
        **settings | {"vocab_size": len(tokenizer)} | changes,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    return drawn(config, seed)


def recurrent_gemma(tokenizer: PreTrainedTokenizerFast, seed: int = 1) -> PreTrainedModel:
    """A tiny model that keeps the state of its text in its modules."""
    config = transformers.RecurrentGemmaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=None,
        num_hidden_layers=3,
        hidden_size=32,
        intermediate_size=96,
        num_attention_heads=4,
        num_key_value_heads=1,
        lru_width=32,
        attention_window_size=16,
        block_types=["recurrent", "recurrent", "attention"],
    )
    return drawn(config, seed)


def drawn(config: Any, seed: int) -> PreTrainedModel:
    """A model of a configuration, its weights drawn from `seed` so that its text varies."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and not ("norm" in name or "recurrent_param" in name):
            torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config.pad_token_id = 0
    return model


def cache_in(named: dict[str, Any]) -> Any:
    """The cache in what a model is called with, if there is one that knows how long it is."""
    past: Any = named.get("cache", named.get("past_key_values"))
    counted = past is not None and any(isinstance(at, CacheLayerMixin) for at in past.layers)
    return past if counted else None


def with_story(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Make the model tell a fixed story, with what its weights say at every fifth position."""
    story: list[int] = tokenizer(PROMPT + " " + TEXT)["input_ids"]

    def nudge(_: Any, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if (past := cache_in(named)) is None:
            return
        shape, end = output.logits.shape[:2], past.get_seq_length()
        places = torch.arange(end - shape[1], end)[None].expand(shape)
        # Where several texts are read at once, each has positions of its own.
        for text, row in product(*map(range, shape)):
            position = int(named.get("position_ids", places)[text, row - shape[1]])
            if position % 5 and position + 1 < len(story):
                output.logits[text, row, story[position + 1]] += 40

    model.register_forward_hook(nudge, with_kwargs=True)
    return model


def plain_ids(model: PreTrainedModel, prompt: list[int], **options: Any) -> list[int]:
    """What transformers itself generates: the new ids."""
    ids = torch.tensor([prompt], device=device_of(model))
    generate: Callable[..., Any] = model.generate
    out = generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
    return out[0, len(prompt) :].tolist()


def at_once(model: PreTrainedModel, ids: list[int]) -> Tensor:
    with torch.inference_mode():
        read = torch.tensor([ids], device=device_of(model))
        return model(input_ids=read, use_cache=False).logits[0]


STORY = PROMPT + " " + TEXT

REPEATING = "the cat sat on the mat. " * 4 + "the cat"


def looping(name: str, unit: str = " the dog ran off.") -> tuple[PreTrainedModel, Any]:
    """A target that says the same again and again, most of the time."""
    words = tokenizer(name)
    model = random_model("llama", words)
    ids: list[int] = words(unit, add_special_tokens=False)["input_ids"]

    def nudge(_: Any, inputs: Any, named: dict[str, Any], output: Any) -> None:
        if (past := cache_in(named)) is None:
            return
        rows, end = output.logits.shape[1], past.get_seq_length()
        for row, position in enumerate(range(end - rows, end)):
            output.logits[:, row, ids[position % len(ids)]] += 40 if position % 23 else 0

    model.register_forward_hook(nudge, with_kwargs=True)
    return model, words
