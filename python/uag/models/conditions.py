"""What results depend on besides the models: versions, devices, number types, threads; and when."""

import platform
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import torch
from transformers import PreTrainedModel

from uag.models.properties import device_of

PACKAGES = ("uag", "torch", "transformers", "tokenizers")


def conditions(target: PreTrainedModel, assistant: object = None) -> dict[str, Any]:
    """The conditions under which two models run now, as a dict of JSON values.

    >>> found = conditions(target, assistant)
    >>> found["dtype"], found["device"], sorted(found["versions"])
    ('float32', 'cpu', ['python', 'tokenizers', 'torch', 'transformers', 'uag'])

    `assistant`: what drafts; of anything but a model nothing is told.
    """
    own = assistant if isinstance(assistant, PreTrainedModel) else None
    return {
        "dtype": _dtype(target),
        "device": str(device_of(target)),
        "assistant_dtype": None if own is None else _dtype(own),
        "assistant_device": None if own is None else str(device_of(own)),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()}
        # The modules' own: they name the build too.
        | {package: str(import_module(package).__version__) for package in PACKAGES},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _dtype(model: PreTrainedModel) -> str:
    return str(model.dtype).removeprefix("torch.")
