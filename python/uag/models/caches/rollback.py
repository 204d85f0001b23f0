"""A KV cache that can be rolled back, of any length.

What cannot be cropped (see `layers`, and RecurrentGemma's states in its modules) is copied now and
then: a copy is restored, and the cache's owner reads the ids after it again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import (
    CacheLayerMixin,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from uag.models.caches.layers import (
    BufferedLayer,
    can_crop,
    check_layers,
    copy_state,
    crop_layer,
    gather_path,
    restore_state,
)
from uag.models.caches.protocol import TOGETHER, Keepable, Way
from uag.models.caches.tree import Branches, Tree
from uag.models.linear.passes import fast_layers
from uag.models.masks import Masks, windows_of
from uag.models.properties import attention_of, device_of, text_config
from uag.models.reading import ModuleState, reading_of

if TYPE_CHECKING:
    from collections.abc import Hashable

# Copies of recurrent states: one for each of the last rounds, as an assistant's last ids change.
CHECKPOINTS = 3
# Replaying this many ids together with the next ones costs less than a forward pass of their own.
REPLAY_LIMIT = 32


@dataclass(frozen=True, slots=True)
class _State:
    """A copy of the states that cannot be cropped, as they were after `length` ids.

    `layers` has the attributes of each recurrent layer; `modules` what the model's modules hold.
    """

    length: int
    layers: list[dict[str, Any]]
    modules: ModuleState | None


class RollbackCache(Keepable):
    """A `ModelCache` that grows as needed, for every kind of layer that can be rolled back.

    >>> cache = RollbackCache(target)
    >>> cache.forward(torch.tensor([5, 6, 7]), positions=1).shape[0], cache.length
    (1, 3)
    >>> cache.roll_back(2)
    >>> cache.length
    2
    """

    def __init__(self, model: PreTrainedModel, way: Way = TOGETHER) -> None:
        """An empty cache; `way`: how the model can be read.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be rolled back.
        """
        self.way = way
        self._model = model
        self._reading = reading_of(model)
        self._device = device_of(model)
        self._recurrent: list[LinearAttentionCacheLayerMixin] = []
        self.width = self.taken_over = 0
        self.owner: Hashable = ""
        self.text: list[int] = []
        self.clear()

    def clear(self) -> None:
        """Remove every id."""
        self.length = 0
        self._nodes = 0  # of a tree that the layers hold after the first `length` ids
        self._modules = self._reading.initial
        self.past = DynamicCache(config=text_config(self._model))
        self.layers = cast("list[CacheLayerMixin]", self.past.layers)
        check_layers(self._model, self.layers)
        for index, layer in enumerate(self.layers):
            if type(layer) is DynamicLayer:
                self.layers[index] = BufferedLayer()
        self._recurrent = [
            layer for layer in self.layers if isinstance(layer, LinearAttentionCacheLayerMixin)
        ]
        self._only_buffers = all(type(layer) is BufferedLayer for layer in self.layers)
        self._copies: deque[_State] = deque(maxlen=CHECKPOINTS)
        for layer in self.layers:
            if isinstance(layer, DynamicSlidingWindowLayer) and not isinstance(
                layer, LinearAttentionCacheLayerMixin
            ):
                layer.activate_past_recording()

    @property
    def recurrent(self) -> bool:
        """Whether some of the model's state cannot be cropped."""
        return bool(self._recurrent or self._reading.places)

    @property
    def holds_text(self) -> bool:
        """Whether passes have left anything here: some models ignore the cache that they get."""
        return bool(self._tensors)

    def held_bytes(self) -> int:
        """The memory of the states; what several layers share counts once."""
        places = {each.untyped_storage().data_ptr(): each for each in self._tensors}
        return sum(each.untyped_storage().nbytes() for each in places.values())

    @property
    def _tensors(self) -> list[Tensor]:
        held: list[Any] = [value for layer in self.layers for value in vars(layer).values()]
        for several in [cast("Any", each) for each in held if isinstance(each, dict | tuple)]:
            held += several.values() if isinstance(several, dict) else several
        return [each for each in [*held, *(self._modules or ())] if isinstance(each, Tensor)]

    def should_read_first(self, count: int) -> bool:
        """Whether to read `count` certain ids in a pass of their own, and copy the state after it.

        Otherwise they are read together with the ids after them, and replayed after a roll back.
        """
        return self.recurrent and (count > REPLAY_LIMIT or (count > 0 and self.length == 0))

    def checkpoint(self) -> None:
        """Copy the states that cannot be cropped; call this before a pass that may be undone."""
        if (
            self.recurrent
            and self.length
            and not (self._copies and self._copies[-1].length == self.length)
        ):
            self._copies.append(
                _State(self.length, [copy_state(layer) for layer in self._recurrent], self._modules)
            )

    def spoil(self, kind: str) -> bool:
        """Make the "recurrent_states" or "conv_states" NaN; whether there are any.

        With the recurrent states go those in the model's modules.
        """
        states = [
            state
            for layer in self._recurrent
            for state in getattr(layer, kind).values()
            if state is not None
        ]
        if kind == "recurrent_states":
            states += [state for state in self._modules or () if state is not None]
        for state in states:
            state.fill_(torch.nan)
        return bool(states)

    @torch.no_grad()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass; see `ModelCache.forward`."""
        self._forget_tree()
        end = self.length + len(ids)
        places = torch.arange(self.length, end, device=self._device)
        inputs = self._reading.inputs(ids[None], positions=places[None], logits=positions)
        logits = self._pass(inputs, len(ids))
        self.length = end
        self.width = len(ids)
        return logits[-positions:]

    @torch.no_grad()
    def read_tree(self, ids: Tensor, tree: Tree, positions: int) -> Tensor:
        """Run a forward pass over a tree; see `TreeReading.read_tree`."""
        self._forget_tree()
        held, width = self.length, len(ids)
        certain = width - len(tree)
        branches = Branches(held, tree.after(certain).table(width).to(self._device))

        def slots(window: int | None) -> Tensor:
            begin = 0 if window is None else max(0, held - window + 1)
            return torch.arange(begin, held + width, device=self._device)

        places = branches.positions[None]
        inputs = self._reading.inputs(ids[None], positions=places, logits=positions)
        inputs["attention_mask"] = self._masks.of_tree(branches, slots)
        logits = self._pass(inputs, width)
        self.length += certain
        self.width = width
        self._nodes = len(tree)
        return logits[-positions:]

    def keep(self, path: Sequence[int]) -> None:
        """Add the nodes of a path to the ids that are held; see `TreeReading.keep`."""
        if [*path] != [*range(len(path))]:  # else they are together
            nodes = torch.tensor(path, device=self._device)
            # Some share the states of another layer, and have none.
            layers = [cast("Any", layer) for layer in self.layers if layer.keys is not None]
            for states in [each for layer in layers for each in (layer.keys, layer.values)]:
                gather_path(states, states.shape[2] - self._nodes, nodes)
        self._nodes -= len(path)
        self.length += len(path)
        self._forget_tree()

    @cached_property
    def _masks(self) -> Masks:
        additive = self._model.dtype if attention_of(self._model) == "eager" else None
        return Masks(windows_of(self._model), additive)

    def _forget_tree(self) -> None:
        """Drop the nodes of a tree that was read, but for those that were kept."""
        if self._nodes:
            for layer in self.layers:
                crop_layer(layer, self._nodes)
            self._nodes = 0

    def _pass(self, inputs: dict[str, Any], width: int) -> Tensor:
        """The logits of the model's pass over `width` ids, `[positions or more, vocabulary]`."""
        with self._reading.turn(self._modules), fast_layers(self._model, width):
            output = cast("Any", self._model)(**inputs, **{self._reading.cache_name: self.past})
            self._modules = self._reading.take()
        return output.logits[0]

    def roll_back(self, length: int) -> None:
        """Roll back to the newest state of at most `length` ids; `self.length` says which it is."""
        self._forget_tree()
        if length > self.length or (length == self.length and self._only_buffers):
            return
        if self.recurrent and length < self.length:
            while self._copies and self._copies[-1].length > length:
                self._copies.pop()
            if not self._copies:
                self.clear()
                return
            length, self._modules = self._copies[-1].length, self._copies[-1].modules
            for layer, state in zip(self._recurrent, self._copies[-1].layers, strict=True):
                restore_state(layer, state)
        if not all(can_crop(layer, length) for layer in self.layers):
            self.clear()
            return
        for layer in self.layers:
            crop_layer(layer, self.length - length)
        self.length = length
