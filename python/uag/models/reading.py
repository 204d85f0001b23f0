"""How a model is read: what its forward pass gets beside the ids, as `generate` would have it.

Some models also keep a state of the text in their modules (RecurrentGemma), or change a module by
the length of a pass (longrope, dynamic NTK rope). Between the passes of two texts that state is
exchanged, and no two threads read such a model at the same time.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.models.properties import cache_name, device_of, keeps_logits, parameters_of
from uag.models.regimes import FreshRope, regimes_of

ModuleState = list[Any]
# (module, name of its attribute)
Place = tuple[Any, str]


class Reading:
    """How one model is read.

    Attributes:
        cache_name: the name of the argument for the KV cache.
        regimes: the lengths at which the model begins to see a text otherwise.
        places: attributes of modules that hold a state of the text; found by the model's check.
        initial: what these hold before a text; `None` without such attributes.

    >>> reading = reading_of(target)
    >>> ids = torch.tensor([[5, 6, 7]])
    >>> inputs = reading.inputs(ids, positions=torch.tensor([[0, 1, 2]]), logits=1)
    >>> sorted(inputs)
    ['input_ids', 'logits_to_keep', 'position_ids', 'return_dict', 'use_cache']
    """

    def __init__(self, model: PreTrainedModel) -> None:
        parameters = parameters_of(model)
        self.cache_name = cache_name(model)
        self.regimes = regimes_of(model)
        self.places: Sequence[Place] = ()
        self.initial: ModuleState | None = None
        first = _first_position(model) if "position_ids" in parameters else None
        self.takes_positions = first is not None
        self._first = first or 0
        self._keeps_logits = keeps_logits(model)
        self._rope = FreshRope(model)
        self._lock = RLock()
        self._alone = False

    def inputs(self, ids: Tensor, *, positions: Tensor, logits: int | None) -> dict[str, Any]:
        """The arguments of a pass, but for the cache.

        Args:
            ids: `[rows, width]`.
            positions: of each id, `[rows, width]`.
            logits: for how many of the last ids logits are needed; `None` for all.
        """
        inputs: dict[str, Any] = {"input_ids": ids, "use_cache": True, "return_dict": True}
        # `generate` gives positions from 0 to every model that takes them, and some would count
        # otherwise by themselves: from 2 (RoBERTa), or from 0 in each pass (Bamba).
        if self.takes_positions:
            inputs["position_ids"] = positions + self._first if self._first else positions
        if self._keeps_logits and logits is not None:
            inputs["logits_to_keep"] = logits
        return inputs

    @contextmanager
    def turn(self, state: ModuleState | None, *, alone: bool = False) -> Generator[None]:
        """The model is this text's alone, and its modules hold the text's `state`.

        `alone`: whether the text may put more than that into modules, as one with an image does.
        From then on the texts of all threads wait for each other.
        """
        self._alone = self._alone or alone
        if not (self.places or self.regimes or self._alone):
            yield
            return
        with self._lock:
            self._rope.restore()
            if state is not None:
                self.put(state)
            yield

    def take(self) -> ModuleState | None:
        """A copy of what the modules hold now; `None` if they hold nothing of a text."""
        if not self.places:
            return None
        return [_copied(getattr(module, name, None)) for module, name in self.places]

    def put(self, state: ModuleState) -> None:
        """Make the modules hold a copy of `state`."""
        for (module, name), value in zip(self.places, state, strict=True):
            setattr(module, name, _copied(value))


def _first_position(model: PreTrainedModel) -> int | None:
    """What the model's own preparation makes of position 0; `None` if it gives no positions.

    PaliGemma's counts from 1; Kosmos leaves positions to the model.
    """
    ids = torch.zeros((1, 1), dtype=torch.long, device=device_of(model))
    try:
        inputs = cast("Any", model).prepare_inputs_for_generation(
            ids, position_ids=ids, use_cache=True, is_first_iteration=True
        )
    except Exception:  # noqa: BLE001 - it may want more: the check tells what comes of it
        return 0
    positions = inputs.get("position_ids")
    return None if positions is None else int(positions.flatten()[0])


_readings: WeakKeyDictionary[PreTrainedModel, Reading] = WeakKeyDictionary()


def reading_of(model: PreTrainedModel) -> Reading:
    """How a model is read; found once for each model."""
    if (known := _readings.get(model)) is None:
        known = _readings[model] = Reading(model)
    return known


class ModuleWatch:
    """Finds the attributes of modules that hold a state of the text.

    >>> watch = ModuleWatch(target)
    >>> _ = target(torch.tensor([[5, 6, 7]]))
    >>> watch.mark()
    >>> _ = target(torch.tensor([[8, 9, 5]]))
    >>> watch.found()
    ([], [])
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Note what the modules hold before the first of two passes of the same shape."""
        self._model = model
        self._before = {place: (_stamp(value), value) for place, value in self._held()}
        self._first: dict[tuple[int, str], Tensor] = {}

    @property
    def changed(self) -> bool:
        """Whether the modules hold anything else than at first."""
        return any(True for _ in self._changes())

    def mark(self) -> None:
        """Note what the first pass has changed; the second one reads another text."""
        self._first = {place: value.clone() for place, value in self._changes()}

    def found(self) -> tuple[list[Place], ModuleState]:
        """What the two passes left different, and what was there before them."""
        modules = {id(module): module for module in _modules(self._model)}
        places: list[Place] = []
        initial: ModuleState = []
        for place, value in self._held():
            first = self._first.get(place)
            if first is None or (first.shape == value.shape and torch.equal(first, value)):
                continue
            places.append((modules[place[0]], place[1]))
            initial.append(self._before.get(place, (None, None))[1])
        return places, initial

    def restore(self) -> None:
        """Put back the tensors that have been replaced since the beginning.

        So what an earlier call with an image left in a model (`rope_deltas`) is still there.
        """
        modules = {id(module): module for module in _modules(self._model)}
        for (number, name), (_, value) in self._before.items():
            if getattr(modules[number], name, None) is not value:
                setattr(modules[number], name, value)

    def _changes(self) -> Iterator[tuple[tuple[int, str], Tensor]]:
        for place, value in self._held():
            if place not in self._before or self._before[place][0] != _stamp(value):
                yield place, value

    def _held(self) -> Iterator[tuple[tuple[int, str], Tensor]]:
        """Tensors beside parameters. Those of rope follow from the pass (see `regimes`)."""
        for module in _modules(self._model):
            if not hasattr(module, "rope_type"):
                for name, value in (module.__dict__ | module.__dict__["_buffers"]).items():
                    if isinstance(value, Tensor):
                        yield (id(module), name), value


def _modules(model: PreTrainedModel) -> Iterator[Any]:
    return cast("Iterator[Any]", cast("Any", model).modules())


def _stamp(tensor: Tensor) -> tuple[int, int]:
    """Another one after the tensor was replaced or written to."""
    return id(tensor), 0 if tensor.is_inference() else tensor._version


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
