"""Whether models and tokenizers that were given can be used: those that cannot are refused."""

import warnings
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from uag._core import Tokenizer
from uag.errors import UagWarning, UnsupportedModelError, UnsupportedTokenizerError
from uag.models.adapters.acting import check_adapters
from uag.models.properties import embedding_rows, parameter_count
from uag.translation.within_rows import belongs

BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)


def check_model(model: PreTrainedModel, role: str) -> None:
    """Refuse a model that is not a decoder-only language model with weights.

    Args:
        model: the model.
        role: "target" or "assistant", for the error message.

    Raises:
        UnsupportedModelError: for an encoder-decoder, or a model without a language-model head,
            without weights, or in train mode.

    >>> check_model(target, "target")
    """
    if model.config.is_encoder_decoder:
        raise UnsupportedModelError(
            f"{type(model).__name__} is an encoder-decoder; "
            "use a decoder-only model (AutoModelForCausalLM)"
        )
    if not model.can_generate():
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot generate; "
            "load the model with a language-model head (AutoModelForCausalLM)"
        )
    # Weights that accelerate keeps in memory or on disk are on the meta device as well.
    offloaded = getattr(model, "hf_device_map", None) is not None
    if not offloaded and any(parameter.is_meta for parameter in model.parameters()):
        raise UnsupportedModelError(
            f"the {role} ({type(model).__name__}) has weights on the meta device, which holds no "
            "data; load it with from_pretrained, or move it with to_empty() and load its weights"
        )
    check_adapters(model, role)
    check_eval([*model.modules()], role)


def check_eval(modules: Sequence[torch.nn.Module], role: str) -> None:
    """Refuse a model in train mode, if that changes what it computes.

    Args:
        modules: all modules of the model, which is the first one.
        role: "target" or "assistant", for the error message.

    Raises:
        UnsupportedModelError: naming what changes, and the remedy.

    >>> check_eval([*target.modules()], "target")
    """
    effects = (_effect_of_training(part) for part in modules if part.training)
    if effect := next((effect for effect in effects if effect), ""):
        raise UnsupportedModelError(
            f"the {role} ({type(modules[0]).__name__}) is in train mode, which {effect}: call "
            "model.eval() first"
        )


def _effect_of_training(module: torch.nn.Module) -> str:
    """What train mode does in this module itself; empty if nothing."""
    if getattr(module, "gradient_checkpointing", False):
        return "with gradient checkpointing switches the KV cache off"
    if isinstance(module, BATCH_NORMS):
        return "makes batch norm depend on the batch"
    own: dict[str, object] = vars(module)
    noisy = "Dropout" in type(module).__name__ and getattr(module, "p", 0) > 0
    # Many modules have the probability as a number of their own.
    if noisy or any(
        isinstance(value, int | float) and value > 0 and ("drop" in name or "jitter" in name)
        for name, value in own.items()
    ):
        return "adds noise (dropout)"
    return ""


def check_belongs(model: PreTrainedModel, core: Tokenizer, role: str) -> None:
    """Refuse a tokenizer with many more ids than its model has embeddings.

    Args:
        model: the model.
        core: its tokenizer, compiled by the core.
        role: "target" or "assistant", for the error message.

    Raises:
        UnsupportedTokenizerError: naming both numbers.
    """
    if not belongs(core.vocab_size, rows := embedding_rows(model)):
        raise UnsupportedTokenizerError(
            f"the {role}'s tokenizer has {core.vocab_size} ids but its model only {rows} "
            "embeddings; "
            "they do not belong together: load both from the same place, or resize the "
            "model's embeddings"
        )


def warn_if_larger(assistant: PreTrainedModel, target: PreTrainedModel) -> None:
    """Warn about an assistant with more parameters than its target."""
    assistant_size, target_size = parameter_count(assistant), parameter_count(target)
    if assistant_size > target_size:
        warnings.warn(
            f"the assistant has {assistant_size:,} parameters and the target {target_size:,}; "
            "an assistant larger than its target makes generation slower: swap them, or "
            "use a smaller one",
            UagWarning,
            stacklevel=4,
        )
