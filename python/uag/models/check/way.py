"""How a model can be read: each kind that was never seen is tried (see `trial`)."""

from dataclasses import asdict
from typing import Any, cast
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from uag.models.caches.protocol import ModelCache, Way
from uag.models.check.records import record_of
from uag.models.check.trial import Trial, make_cache
from uag.models.reading import reading_of

_ways: WeakKeyDictionary[PreTrainedModel, Way] = WeakKeyDictionary()


def way_of(model: PreTrainedModel) -> Way:
    """How a model can be read; tried once for each class and configuration (see `records`).

    Raises:
        UnsupportedModelError: for a model that cannot be read at all, or whose state of a text
            cannot be kept apart from another text's.

    >>> way_of(target).together
    True
    """
    if (known := _ways.get(model)) is None:
        known = _ways[model] = _recalled(model) or _tried(model)
    return known


def new_cache(model: PreTrainedModel) -> ModelCache:
    """An empty cache of a model, for the way in which it can be read.

    >>> type(new_cache(target)).__name__
    'RollbackCache'
    """
    return make_cache(model, way_of(model))


def _tried(model: PreTrainedModel) -> Way:
    """The way that the model's trial finds, kept for models that are made alike."""
    way = Trial(model).way()
    modules: list[tuple[str, Any]] = list(cast("Any", model).named_modules())
    names = {module: name for name, module in modules}
    places = [(names[module], attribute) for module, attribute in reading_of(model).places]
    found = {"way": asdict(way), "places": places}
    record_of(model).keep("way", found, passed=way.together)
    return way


def _recalled(model: PreTrainedModel) -> Way | None:
    """The way that an earlier trial found of a model that is made alike, if there was one."""
    if (found := record_of(model).get("way")) is None:
        return None
    reading = reading_of(model)
    reading.places = [(model.get_submodule(name), place) for name, place in found["places"]]
    reading.initial = [None for _ in reading.places] or None
    return Way(**found["way"])
