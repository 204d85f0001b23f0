"""The transformers model in what a caller gives: PEFT, torch.compile and DataParallel wrap it.

Their `generate` is that of the model inside, which is what transformers hands to a custom method.
"""

from typing import Any, cast

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from transformers import PreTrainedModel

from uag.errors import OptionError, UnsupportedModelError
from uag.models.adapters.acting import check_wrapper

# A transformers model, or a wrapper that holds one.
AnyModel = torch.nn.Module


def language_model(given: object, role: str) -> PreTrainedModel:
    """The transformers model that is given, or that a given wrapper holds.

    >>> language_model(torch.nn.DataParallel(target), "target") is target
    True

    Args:
        given: a model; or one in a `PeftModel`, a `DataParallel`, or what `torch.compile` returns.
        role: "target" or "assistant", for the error message.

    Raises:
        UnsupportedModelError: for anything else, and for adapters that only PEFT's own `generate`
            can apply.
    """
    model = given
    while not isinstance(model, PreTrainedModel):
        model = _inside(model, role)
        if model is None:
            raise UnsupportedModelError(
                f"the {role} is a {type(given).__name__}; give a transformers model "
                "(AutoModelForCausalLM), or one in a PeftModel, torch.compile or DataParallel; "
                "to load one by name, use from_pretrained"
            )
    return model


def check_defaults(given: object, model: PreTrainedModel) -> None:
    """Refuse a wrapper with generation defaults of its own, which the model inside does not know.

    PEFT's `generate` hands them on to the model, for good; here no model is changed.

    Raises:
        OptionError: saying where they belong.

    >>> check_defaults(target, target)
    """
    own = getattr(given, "generation_config", None)
    if own is not None and own is not model.generation_config:
        raise OptionError(
            f"generation_config: the {type(given).__name__} has another than the model inside, so "
            "it is not clear which is meant; set it on the model inside (get_base_model())"
        )


def _inside(wrapper: object, role: str) -> object:
    """What a wrapper holds; `None` for anything else."""
    if not isinstance(wrapper, torch.nn.Module):
        return None
    inner = cast("Any", wrapper)
    if hasattr(inner, "peft_config") and hasattr(inner, "get_base_model"):
        check_wrapper(inner, role)
        return inner.get_base_model()
    if isinstance(wrapper, DataParallel | DistributedDataParallel):
        return inner.module
    return getattr(inner, "_orig_mod", None)
