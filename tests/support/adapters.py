"""Tiny models with adapters of PEFT, their weights random so that each changes the text."""

import re
from typing import Any

import torch

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer

WORDS = tokenizer("gpt2")
ATTENTION = ["q_proj", "v_proj"]
VIRTUAL = {"num_virtual_tokens": 3}

# The name of each kind's configuration in PEFT, and what it is given. Those that change weights:
WEIGHTS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LoraConfig", {"r": 4, "target_modules": ATTENTION}),
    "DoRA": ("LoraConfig", {"r": 4, "target_modules": ATTENTION, "use_dora": True}),
    "LoRA of embeddings and head": (
        "LoraConfig",
        {"r": 4, "target_modules": ["embed_tokens", "q_proj", "lm_head"]},
    ),
    "LoRA with a whole head": (
        "LoraConfig",
        {"r": 4, "target_modules": ATTENTION, "modules_to_save": ["lm_head", "embed_tokens"]},
    ),
    "LoRA with trained tokens": (
        "LoraConfig",
        {"r": 4, "target_modules": ATTENTION, "trainable_token_indices": [5, 6, 7]},
    ),
    "IA3": (
        "IA3Config",
        {"target_modules": [*ATTENTION, "down_proj"], "feedforward_modules": ["down_proj"]},
    ),
    "AdaLoRA": ("AdaLoraConfig", {"target_modules": ATTENTION, "total_step": 10}),
    "VeRA": ("VeraConfig", {"target_modules": ATTENTION}),
    "LoHa": ("LoHaConfig", {"target_modules": ATTENTION}),
    "LoKr": ("LoKrConfig", {"target_modules": ATTENTION}),
    "OFT": ("OFTConfig", {"target_modules": ATTENTION}),
    "LN tuning": ("LNTuningConfig", {"target_modules": ["input_layernorm", "norm"]}),
    "LLaMA-Adapter": (
        "AdaptionPromptConfig",
        {"target_modules": "self_attn", "adapter_len": 3, "adapter_layers": 1},
    ),
}
# And those that only PEFT's own generate applies.
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "aLoRA": (
        "LoraConfig",
        {"r": 4, "target_modules": ATTENTION, "alora_invocation_tokens": [5, 6]},
    ),
    "Prompt tuning": ("PromptTuningConfig", VIRTUAL),
    "Prefix tuning": ("PrefixTuningConfig", VIRTUAL),
    "P-tuning": ("PromptEncoderConfig", VIRTUAL),
    "CPT": (
        "CPTConfig",
        {"cpt_token_ids": [5, 6], "cpt_mask": [1, 1], "cpt_tokens_type_mask": [1, 1]},
    ),
    "Multitask prompt tuning": ("MultitaskPromptTuningConfig", VIRTUAL | {"num_tasks": 2}),
    "Poly": ("PolyConfig", {"target_modules": ATTENTION}),
}
KINDS = WEIGHTS | REFUSED


def adapted(kind: str, seed: int = 0, **changes: Any) -> Any:
    """A tiny model in a `PeftModel`, with one adapter of a kind."""
    import peft

    name, options = KINDS[kind]
    config = getattr(peft, name)(task_type="CAUSAL_LM", **options)
    model: Any = peft.get_peft_model(random_model("llama", WORDS, seed, **changes), config)
    return drawn(model.eval(), "default", seed)


def two_adapters(**changes: Any) -> Any:
    """A model with the adapters "default", which is active, and "other"."""
    import peft

    model = adapted("LoRA", **changes)
    model.add_adapter("other", peft.LoraConfig(r=4, target_modules=ATTENTION))
    return drawn(model, "other", seed=1)


def drawn(model: Any, adapter: str, seed: int) -> Any:
    """The same model, the weights of an adapter drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    # Prompts and whole layers bear no name of an adapter, but are what is trained.
    of_it = re.compile(rf"\b{adapter}\b")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ranknum" in name:  # of AdaLoRA; it is not saved
                continue
            if of_it.search(name) or (parameter.requires_grad and adapter == "default"):
                parameter.normal_(std=0.3, generator=generator)
    return model
