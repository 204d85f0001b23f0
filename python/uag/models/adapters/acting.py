"""Adapters of PEFT in a model: which of them act now, and which cannot be read as weights.

A model with adapters is one model for each choice of them. So the KV cache of a text belongs to the
adapters that acted when the text began.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from transformers import PreTrainedModel

from uag.errors import AdapterError, UnsupportedModelError

# The names of the adapters that act in each layer that has some.
Acting = list[Sequence[str]]
# Kinds that only the wrapper applies, and what it does.
BY_WRAPPER = {
    "XLORA": "mixes adapters by a pass of its own over the text",
    "POLY": "chooses adapters by the argument task_ids",
}


class Adapters:
    """The layers of a model that have adapters; most models have none.

    >>> Adapters(target).acting
    []
    """

    def __init__(self, model: PreTrainedModel) -> None:
        # Only PEFT puts adapters into a model: without it there is nothing to look for.
        modules = cast("Any", model).named_modules() if "peft" in sys.modules else ()
        named: list[tuple[str, Any]] = [(name, part) for name, part in modules if _is_of_peft(part)]
        self._model = model
        self._layers = [part for _, part in named]
        self._first = named[0][0] if named else ""

    def __bool__(self) -> bool:
        return bool(self._layers)

    @property
    def acting(self) -> Acting:
        """The adapters of each layer whose effect a pass has now: merged ones, or the active."""
        if not self._layers or not self._in_place():
            return []
        return [_acting(layer) for layer in self._layers]

    @property
    def by_row(self) -> bool:
        """Whether PEFT's `generate` has chosen an adapter for each row of the batch it was given.

        It leaves hooks with `adapter_names` for the time of the call.
        """
        hooks = (hook for layer in self._layers for hook in layer._forward_pre_hooks.values())
        return any("adapter_names" in getattr(hook, "keywords", ()) for hook in hooks)

    def _in_place(self) -> bool:
        """Whether the layers are still the model's; merging and unloading replaces them all."""
        part: Any = self._model
        for name in self._first.split("."):
            part = getattr(part, name, None)
        merged: object = getattr(self._layers[0], "merged_adapters", ())
        return part is self._layers[0] or bool(merged)


def _is_of_peft(module: object) -> bool:
    """Whether PEFT put the module there; the package is not imported to ask."""
    return type(module).__module__.startswith("peft.")


def _acting(layer: Any) -> Sequence[str]:
    if getattr(layer, "disable_adapters", False):
        return ()
    return (*(getattr(layer, "merged_adapters", ()) or getattr(layer, "active_adapters", ())),)


def names_of(acting: Acting) -> str:
    """The adapters in words.

    >>> names_of([("french",), ("french", "formal")]), names_of([()])
    ("'french' and 'formal'", 'none')
    """
    return " and ".join(repr(name) for name in _distinct(acting)) or "none"


def _distinct(acting: Acting) -> list[str]:
    return list(dict.fromkeys(name for names in acting for name in names))


class SameAdapters:
    """Watches that a text is read with the adapters that acted when it began.

    >>> SameAdapters(target, "target").check()
    """

    def __init__(self, model: PreTrainedModel, role: str) -> None:
        self._adapters = Adapters(model)
        self._role = role
        self._first = self._adapters.acting

    def __bool__(self) -> bool:
        return bool(self._adapters)

    def check(self) -> None:
        """Raise an `AdapterError` if other adapters act now."""
        if (now := self._adapters.acting) != self._first:
            raise AdapterError(
                f"the {self._role}'s adapters changed in the middle of a text, from "
                f"{names_of(self._first)} to {names_of(now)}, and its KV cache is of those before: "
                "finish a text before you switch, or begin it again"
            )


def check_adapters(model: PreTrainedModel, role: str) -> None:
    """Refuse a model whose acting adapters change what is read, and not only the weights.

    Args:
        model: the model.
        role: "target" or "assistant", for the error message.

    Raises:
        UnsupportedModelError: naming the adapter.
    """
    configs = cast("Mapping[str, Any]", getattr(model, "peft_config", None) or {})
    for name in _distinct(Adapters(model).acting) if configs else ():
        if getattr(configs.get(name), "alora_invocation_tokens", None):
            raise refusal(role, name, "aLoRA", "is switched on by ids of the text")


def check_wrapper(wrapper: Any, role: str) -> None:
    """Refuse a `PeftModel` that does more than the model inside with its layers does.

    Raises:
        UnsupportedModelError: naming the adapter.
    """
    configs = cast("Mapping[str, Any]", wrapper.peft_config)
    for name, config in configs.items():
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        if getattr(config, "is_prompt_learning", False):
            raise refusal(role, name, kind, "puts ids before the text")
        if kind in BY_WRAPPER:
            raise refusal(role, name, kind, BY_WRAPPER[kind])


def refusal(role: str, name: str, kind: str, what: str) -> UnsupportedModelError:
    """The error for an adapter that does more than change weights."""
    return UnsupportedModelError(
        f"the {role}'s adapter {name!r} ({kind}) {what}, which only PEFT's own generate does; use "
        "an adapter that changes weights, such as LoRA, or model.generate"
    )
