"""What results depend on besides the models: versions, devices, number types, threads; and when."""

import platform
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import torch
from transformers import PreTrainedModel

from uag.decoder import SpeculativeDecoder

PACKAGES = ("uag", "torch", "transformers", "tokenizers")


def conditions(decoder: SpeculativeDecoder) -> dict[str, Any]:
    """The conditions under which a decoder runs now, as a dict of JSON values.

    >>> found = conditions(decoder)
    >>> found["dtype"], found["device"], sorted(found["versions"])
    ('float32', 'cpu', ['python', 'tokenizers', 'torch', 'transformers', 'uag'])
    """
    model, assistant = decoder.model, decoder.assistant
    own = assistant if isinstance(assistant, PreTrainedModel) else None
    return {
        "dtype": _dtype(model),
        "device": str(model.device),
        "assistant_dtype": None if own is None else _dtype(own),
        "assistant_device": None if own is None else str(own.device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()}
        # The modules' own: they name the build too.
        | {package: str(import_module(package).__version__) for package in PACKAGES},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _dtype(model: PreTrainedModel) -> str:
    return str(model.dtype).removeprefix("torch.")
