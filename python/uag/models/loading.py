"""Loads models and tokenizers by name or folder, and refuses those that cannot be used."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from uag._core import Tokenizer
from uag.errors import (
    LoadError,
    UagWarning,
    UnsupportedModelError,
    UnsupportedTokenizerError,
)
from uag.models.adapters.acting import check_adapters
from uag.models.adapters.files import adapter_at
from uag.models.properties import embedding_rows, parameter_count
from uag.models.wrappers import AnyModel
from uag.translation.within_rows import belongs

# Without the first option, transformers asks at the terminal whether to run a model's code. Without
# the second, it also loads weights from pickles, which can run code.
SAFE = {"trust_remote_code": False, "use_safetensors": True}
WITH_CODE = (
    " Custom code runs only if you allow it: read it, and pass trust_remote_code=True "
    "(--trust-remote-code) if you trust it"
)
PICKLED = (
    "; a model with no safetensors can run code when it is loaded: convert its weights, or pass "
    "use_safetensors=False (--no-use-safetensors) if you trust where they come from"
)

BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)


def load_model(name: str, **options: Any) -> AnyModel:
    """Load a model with `AutoModelForCausalLM.from_pretrained(name, **options)`, in eval mode.

    Where an adapter of PEFT is instead of a model, its base model is loaded, and it in a
    `PeftModel`.

    Nothing that comes with a model runs unless you allow it: its own code with
    `trust_remote_code=True`, weights in pickles with `use_safetensors=False`.

    Raises:
        LoadError: if there is no such model, it has no safetensors, or it is an adapter and PEFT is
            not installed.
    """
    options = SAFE | options
    adapter = adapter_at(name, options)
    if adapter is not None:
        adapter.check(pickles=not options["use_safetensors"])
    if adapter is None or not adapter.alone:
        return _whole_model(name, options)
    model = _whole_model(adapter.base, adapter.of_base(options))
    with _telling(name, options):
        return adapter.on(model)


def _whole_model(name: str, options: dict[str, Any]) -> PreTrainedModel:
    with _telling(name, options):
        return cast("Any", AutoModelForCausalLM).from_pretrained(name, **options).eval()


@contextmanager
def _telling(name: str, options: dict[str, Any]) -> Generator[None]:
    """What loading raises becomes a `LoadError` with the remedy."""
    try:
        yield
    except (OSError, ValueError, ImportError, AttributeError, RuntimeError) as error:
        pickled = bool(options["use_safetensors"]) and _only_pickled(name, error)
        raise LoadError(
            f"cannot load a causal language model from {name!r}: "
            f"{_first_line(error)}{PICKLED if pickled else _code_remedy(error)}"
        ) from error


def load_tokenizer(name: str, **options: Any) -> PreTrainedTokenizerBase:
    """Load a tokenizer with `AutoTokenizer.from_pretrained(name, **options)`.

    A tokenizer's own code runs only with `trust_remote_code=True`. Where an adapter of PEFT has no
    tokenizer, its base model's is loaded.

    Raises:
        LoadError: if there is no such tokenizer.
    """
    options = {"trust_remote_code": False} | options
    try:
        return _own_tokenizer(name, options)
    except LoadError:
        adapter = adapter_at(name, options)
        if adapter is None or not adapter.alone:
            raise
        return _own_tokenizer(adapter.base, adapter.of_base(options))


def _own_tokenizer(name: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        return cast("Any", AutoTokenizer).from_pretrained(name, **options)
    except (OSError, ValueError, ImportError, AttributeError, KeyError) as error:
        raise LoadError(
            f"cannot load a tokenizer from {name!r} (it needs a tokenizer.json): "
            f"{_first_line(error)}{_code_remedy(error)}"
        ) from error


def _code_remedy(error: Exception) -> str:
    return WITH_CODE if "trust_remote_code" in str(error) else ""


def _only_pickled(name: str, error: Exception) -> bool:
    """Whether the model seems to exist, but without safetensors."""
    if Path(name).is_dir():
        return any(Path(name).glob("*.bin")) and not any(Path(name).glob("*.safetensors"))
    return "cannot be loaded with `safetensors`" in str(error)


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
    check_eval(model, role)


def check_eval(model: PreTrainedModel, role: str) -> None:
    """Refuse a model in train mode, if that changes what it computes.

    Args:
        model: the model.
        role: "target" or "assistant", for the error message.

    Raises:
        UnsupportedModelError: naming what changes, and the remedy.

    >>> check_eval(target, "target")
    """
    modules: list[torch.nn.Module] = list(cast("Any", model).modules())
    effects = (_effect_of_training(part) for part in modules if part.training)
    if effect := next((effect for effect in effects if effect), ""):
        raise UnsupportedModelError(
            f"the {role} ({type(model).__name__}) is in train mode, which {effect}: call "
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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


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
