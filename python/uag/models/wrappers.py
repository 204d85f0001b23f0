"""The transformers model in what a caller gives: PEFT, torch.compile and DataParallel wrap it.

Their `generate` is that of the model inside, which is what transformers hands to a custom method.
"""

from typing import Any, cast

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from transformers import PreTrainedModel

from uag.errors import UnsupportedModelError
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
