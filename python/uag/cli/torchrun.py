"""A command that torchrun has started several times: the processes compute one model together."""

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uag.cli.loading import Loading
from uag.cli.options import Conflict
from uag.errors import LoadError

if TYPE_CHECKING:
    from uag.decoder import SpeculativeDecoder


def is_shared() -> bool:
    """Whether torchrun has started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this is the first process, or the only one."""
    return not is_shared() or int(os.environ.get("RANK", "0")) == 0


def shared(loading: Loading, target: str | None) -> Loading:
    """The options with which each process loads its part of the target, and all of the assistant.

    Raises:
        Conflict: for the demo pair, and if a device is asked for.
    """
    import torch

    if target is None:
        raise Conflict("torchrun, but no target: the demo pair fits one process; name a target")
    if "device_map" in loading.options:
        raise Conflict("--device-map, but torchrun gives each process its own: leave it out")
    own: dict[str, Any] = {"tp_plan": None}
    if torch.cuda.is_available():
        own["device_map"] = f"cuda:{os.environ['LOCAL_RANK']}"
    return replace(
        loading,
        options=loading.options | {"tp_plan": "auto"},
        assistant_options=own | loading.assistant_options,
    )


def check_shared(decoder: "SpeculativeDecoder") -> None:
    """Check that the processes compute the target together.

    Raises:
        LoadError: if each has all of it.
    """
    from uag.models.properties import is_sharded

    if not is_sharded(decoder.model):
        raise LoadError(
            f"{type(decoder.model).__name__} has no plan for several processes (tp_plan): start "
            "uag serve without torchrun"
        )


def follow(engine: Any) -> int:
    """Compute what the first process serves, until it ends; returns the status to exit with.

    Signals are for the first process, which ends the others.
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    engine.follow()
    return 1 if engine.state == "dead" else 0
