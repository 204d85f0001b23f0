"""An adapter of PEFT by name or folder: where its base model is, and how it is put on that."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import transformers.utils

from uag.errors import LoadError
from uag.models.loading.options import OF_ACCESS
from uag.models.wrappers import AnyModel

# Options of `from_pretrained` that say where an adapter is; the first two are the adapter's alone.
OF_VERSION = ("revision", "subfolder")
OF_PLACE = (*OF_VERSION, *(name for name in OF_ACCESS if name != "trust_remote_code"))

_hub = cast("Any", transformers.utils)


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An adapter that was found.

    Attributes:
        name: its hub name or folder.
        place: the options that say where it is.
        settings: its `adapter_config.json`.
    """

    name: str
    place: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def alone(self) -> bool:
        """Whether no whole model is beside it."""
        return not (Path(self.name) / _hub.CONFIG_NAME).exists()

    @property
    def base(self) -> str:
        """The hub name or folder of its base model.

        Raises:
            LoadError: if it names none.
        """
        if base := self.settings.get("base_model_name_or_path"):
            return base
        raise LoadError(
            f"the adapter in {self.name!r} names no base model (base_model_name_or_path): load "
            "that, and give PeftModel.from_pretrained(model, adapter)"
        )

    def of_base(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options to load the base model with, from those that are given for the adapter."""
        others = {name: value for name, value in options.items() if name not in OF_VERSION}
        revision = self.settings.get("revision")
        return others | ({"revision": revision} if revision else {})

    def check(self, *, pickles: bool) -> None:
        """Check that it can be loaded.

        Raises:
            LoadError: if PEFT is not installed, or it has only pickled weights without `pickles`.
        """
        if not _hub.is_peft_available():
            # transformers would not see the adapter, and load what is beside it.
            raise LoadError(
                f"{self.name!r} has an adapter of PEFT, which is not installed: pip install peft"
            )
        safe = _hub.ADAPTER_SAFE_WEIGHTS_NAME
        if not pickles and not _hub.cached_file(
            self.name, safe, **self.place, _raise_exceptions_for_missing_entries=False
        ):
            raise LoadError(
                f"the adapter in {self.name!r} has no {safe}, and pickled weights can run code "
                "when they are loaded: convert them, or pass use_safetensors=None if you trust "
                "where they come from"
            )

    def on(self, model: AnyModel) -> AnyModel:
        """A `PeftModel` of its base model with it.

        PEFT loads it: transformers lacks some kinds, and drops the magnitudes of DoRA.
        """
        peft = cast("Any", import_module("peft"))
        return peft.PeftModel.from_pretrained(model, self.name, **self.place).eval()


def adapter_at(name: str, options: Mapping[str, Any]) -> AdapterFiles | None:
    """The adapter at a hub name or folder; `None` if there is none, or nothing of this name.

    >>> adapter_at(".", {}) is None
    True
    """
    place = {option: options[option] for option in OF_PLACE if option in options}
    try:
        path = _hub.find_adapter_config_file(name, **place)
    except (OSError, ValueError):
        return None  # loading it says what is wrong
    if path is None:
        return None
    return AdapterFiles(name, place, json.loads(Path(path).read_text(encoding="utf-8")))


def base_of(name: str, options: Mapping[str, Any]) -> str:
    """Where the configuration is: at a name or folder or, if only an adapter is, its base model's.

    >>> base_of(".", {})
    '.'

    Raises:
        LoadError: for an adapter that names no base model.
    """
    adapter = adapter_at(name, options)
    return name if adapter is None or not adapter.alone else adapter.base
