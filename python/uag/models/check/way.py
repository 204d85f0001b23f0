"""How a model can be read: each that was never seen is tried (see `trial`)."""

from typing import Any, cast
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from uag.models.caches.protocol import (
    ModelCache,
    Way,
)
from uag.models.check.trial import Trial, is_of_transformers, make_cache
from uag.models.properties import (
    attention_of,
    device_of,
)
from uag.models.reading import reading_of

_ways: WeakKeyDictionary[PreTrainedModel, Way] = WeakKeyDictionary()
# The ways, and the attributes of modules that hold a state, of models that are made alike.
_alike: dict[str, tuple[Way, list[tuple[str, str]]]] = {}


def way_of(model: PreTrainedModel) -> Way:
    """How a model can be read; tried once for each model, and for each class and configuration.

    Raises:
        UnsupportedModelError: for a model that cannot be read at all, or whose state of a text
            cannot be kept apart from another text's.

    >>> way_of(target).together
    True
    """
    if (known := _ways.get(model)) is None:
        known = _ways[model] = _way_of_kind(model)
    return known


def _way_of_kind(model: PreTrainedModel) -> Way:
    """The way of models that are made as this one is."""
    modules: list[tuple[str, Any]] = list(cast("Any", model).named_modules())
    if not all(is_of_transformers(module) for _, module in modules):
        return Trial(model).way()
    settings: dict[str, Any] = cast("Any", model).config.to_dict()
    settings.pop("_name_or_path", None)
    parts = [str(cast("object", module).__class__) for _, module in modules]
    traits = model.dtype, device_of(model), attention_of(model)
    kind = f"{parts} {settings} {traits}"
    reading = reading_of(model)
    if kind in _alike:
        way, places = _alike[kind]
        reading.places = [(model.get_submodule(name), attribute) for name, attribute in places]
        reading.initial = [None for _ in places] or None
        return way
    way = Trial(model).way()
    names = {module: name for name, module in modules}
    _alike[kind] = way, [(names[module], attribute) for module, attribute in reading.places]
    return way


def new_cache(model: PreTrainedModel) -> ModelCache:
    """An empty cache of a model, for the way in which it can be read.

    >>> type(new_cache(target)).__name__
    'RollbackCache'
    """
    return make_cache(model, way_of(model))
