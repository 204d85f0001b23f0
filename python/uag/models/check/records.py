"""What checks of models found, kept for models that are made alike: also in later processes.

A record is a small JSON file in huggingface_hub's folder for what libraries keep. Its name is a
digest of all that the finding may depend on: the classes of the model's modules and their source
files, the configuration, dtype, device, attention, uag itself and every installed package. A file
that is absent, damaged or cannot be written costs another check, nothing else.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from huggingface_hub import cached_assets_path
from transformers import PreTrainedModel

from uag.models.properties import attention_of, device_of


class Record:
    """What was found of one kind of model, by the name of the check.

    >>> record = Record(None)
    >>> record.keep("rows", "")
    >>> record.get("rows"), record.get("way")
    ('', None)
    """

    def __init__(self, kind: str | None, *, exact: bool = True) -> None:
        """`kind`: a digest of the kind of model; `None` for one that is like no other.

        `exact`: whether what fails cannot do so by rounding, as it may in half precision.
        """
        self._kind = kind
        self._exact = exact
        self._found: dict[str, Any] = {}

    def get(self, check: str) -> Any | None:
        """What the check found; `None` if it was never made."""
        if check not in self._found and (file := self._file(check)) is not None:
            with suppress(OSError, ValueError, TypeError, KeyError):
                self._found[check] = json.loads(file.read_bytes())["found"]
        return self._found.get(check)

    def keep(self, check: str, found: Any, *, passed: bool = True) -> None:
        """Keep what the check found, a value of JSON: for later processes too if it is sure.

        What has not `passed` in half precision is not: other weights are tried again.
        """
        self._found[check] = found
        if (passed or self._exact) and (file := self._file(check)) is not None:
            with suppress(OSError):
                own = file.with_suffix(f".{os.getpid()}")
                own.write_text(json.dumps({"found": found}))
                own.replace(file)  # no other process reads half of it

    def _file(self, check: str) -> Path | None:
        folder = _folder()
        return folder / f"{check}-{self._kind}.json" if self._kind and folder else None


_records: dict[str, Record] = {}
_of_model: WeakKeyDictionary[PreTrainedModel, Record] = WeakKeyDictionary()


def record_of(model: PreTrainedModel) -> Record:
    """The record of a model; models that run other code than transformers' have one each.

    >>> record_of(target) is record_of(target)
    True
    """
    if (known := _of_model.get(model)) is None:
        kind = _kind_of(model)
        exact = model.dtype in (torch.float32, torch.float64)
        own = Record(kind, exact=exact)
        known = own if kind is None else _records.setdefault(kind, own)
        _of_model[model] = known
    return known


def with_own_code(modules: Sequence[Any]) -> list[Any]:
    """The modules that have hooks, or run code of neither torch nor transformers.

    What accelerate puts around a module only moves its weights. All modules of a model are looked
    at before each text, so no function is called for each.
    """
    others = {kind for kind in set(map(type, modules)) if not _is_theirs(kind)}
    return [
        module
        for module in modules
        if (own := module.__dict__)["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or ("forward" in own and "_hf_hook" not in own)
        or (others and type(module) in others)
    ]


def is_of_transformers(module: Any) -> bool:
    """Whether a module runs code of torch or transformers only, without hooks."""
    return not with_own_code([module])


@cache
def _is_theirs(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "transformers")


def _kind_of(model: PreTrainedModel) -> str | None:
    """A digest of all that a finding may depend on, but for the weights."""
    modules: list[Any] = list(cast("Any", model).modules())
    if with_own_code(modules):
        return None
    settings: dict[str, Any] = cast("Any", model).config.to_dict()
    settings.pop("_name_or_path", None)
    classes: list[type] = [type(module) for module in modules]
    sources = {cast("str", sys.modules[each.__module__].__file__) for each in classes}
    device = device_of(model)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    traits = (
        [f"{each.__module__}.{each.__qualname__}" for each in classes],
        [_stamp(Path(source)) for source in sorted(sources)],
        settings,
        (model.dtype, device.type, card, attention_of(model)),
        _surroundings(),
    )
    return sha256(str(traits).encode()).hexdigest()[:32]


@cache
def _surroundings() -> list[str]:
    """The installed packages, which may bring kernels that a model uses, and the checks' source."""
    folders = [folder for folder in map(Path, sys.path) if folder.is_dir()]
    entries = {entry.name for folder in folders for entry in folder.iterdir()}
    packages = [name for name in entries if name.endswith(".dist-info")]
    own = Path(__file__).parents[2]
    sources = [*own.glob("models/**/*.py"), *own.glob("batching/*.py")]
    return [sys.version, *sorted(packages), *map(_stamp, sorted(sources))]


def _stamp(source: Path) -> str:
    """Another one after the file has changed."""
    state = source.stat()
    return f"{source} {state.st_size} {state.st_mtime_ns}"


@cache
def _folder() -> Path | None:
    """Where records are; `None` where no folder can be made."""
    try:
        return cached_assets_path("uag", namespace="checks", subfolder="models")
    except (OSError, ValueError):
        return None
