"""A model's KV cache that can be rolled back to fewer ids, for each kind of layer.

| layer | how it is rolled back |
|---|---|
| full attention | the length is lowered; the states stay in a preallocated buffer |
| sliding window | the last positions are dropped; more than the window is kept for that |
| linear attention, Mamba, convolution | a copy is restored, and its owner replays ids after it |
| in the model's modules (RecurrentGemma) | the same |
| shared with another layer | nothing to do |
| one of its model's own, without a window | by its own `crop`, if it has one |

Models with any other kind of layer are refused when the cache is made.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import (
    CacheLayerMixin,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionCacheLayerMixin,
    LinearAttentionLayer,
)

from uag.errors import UnsupportedModelError
from uag.models.properties import device_of, text_config
from uag.models.reading import ModuleState, reading_of

# An assistant's last few ids change when the text after them changes how they are tokenized.
# Positions kept beyond the window let the cache roll back without reading the whole window again.
KEPT_BEYOND_WINDOW = 64
# Copies of recurrent states: one for each of the last rounds, for the same reason.
CHECKPOINTS = 3
# A full buffer grows by this many positions, or by an eighth of its length if that is more.
GROW_BY = 128
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


@dataclass(frozen=True, slots=True)
class Way:
    """How a model can be read: found by its check.

    Attributes:
        prompt_alone: whether the prompt needs a pass of its own.
        together: whether one pass over several ids gives what one pass for each gives.
        whole: whether each pass reads the whole text, as the model keeps nothing of it (GPT-1).
        as_generate: whether only the steps of `generate` itself will do.
        reason: what fails if ids are read together; empty if nothing does.
    """

    prompt_alone: bool = False
    together: bool = True
    whole: bool = False
    as_generate: bool = False
    reason: str = ""


TOGETHER = Way()
PROMPT_ALONE = Way(prompt_alone=True)
WHOLE = Way(whole=True)
ONE_BY_ONE = Way(prompt_alone=True, together=False)
AS_GENERATE = Way(prompt_alone=True, together=False, as_generate=True)


class ModelCache(Protocol):
    """The KV cache of one model for one generation; its last ids can be rolled back.

    Attributes:
        length: number of ids that the cache holds.
        width: number of ids in the last forward pass, padding included.
        way: how passes may read ids.
    """

    length: int
    width: int
    way: Way

    def clear(self) -> None:
        """Remove every id."""
        ...

    def roll_back(self, length: int) -> None:
        """Roll back to at most `length` ids. It may be fewer: `self.length` says how many."""
        ...

    def should_read_first(self, count: int) -> bool:
        """Whether to read `count` certain ids in a pass of their own, before `checkpoint`."""
        ...

    def checkpoint(self) -> None:
        """Call this before a pass over ids that may be rolled back."""
        ...

    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass over `ids` and add them to the cache.

        `[ids]` -> `[positions, vocabulary]`: the logits at the last `positions` of them.
        """
        ...


class PreallocatedCache(ModelCache):
    """A `ModelCache` in a preallocated buffer: rolling back only lowers `length`."""

    way = TOGETHER

    def __init__(self) -> None:
        """An empty cache."""
        self.length = self.width = 0

    def clear(self) -> None:
        """Remove every id."""
        self.length = 0

    def roll_back(self, length: int) -> None:
        """Roll back to at most `length` ids."""
        self.length = min(self.length, length)

    def should_read_first(self, count: int) -> bool:
        """Return `False`: this cache makes no copies."""
        del count
        return False

    def checkpoint(self) -> None:
        """Do nothing: rolling back needs no copy."""


class WholeTextCache(PreallocatedCache):
    """A `ModelCache` for a model that keeps nothing of a text: each pass reads all of it again."""

    way = WHOLE

    def __init__(self, model: PreTrainedModel) -> None:
        """An empty cache."""
        super().__init__()
        self._model = model
        self._reading = reading_of(model)
        self._ids = torch.zeros(0, dtype=torch.long, device=device_of(model))

    @torch.no_grad()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass; see `ModelCache.forward`."""
        self._ids = torch.cat([self._ids[: self.length], ids])
        self.length = self.width = len(self._ids)
        places = torch.arange(self.length, device=ids.device)
        inputs = self._reading.inputs(self._ids[None], positions=places[None], logits=positions)
        return cast("Any", self._model)(**inputs).logits[0, -positions:]


class RollbackCache:
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
        self.width = 0
        self.clear()

    def clear(self) -> None:
        """Remove every id."""
        self.length = 0
        self._modules = self._reading.initial
        self.past = DynamicCache(config=text_config(self._model))
        self.layers = cast("list[CacheLayerMixin]", self.past.layers)
        _check_layers(self._model, self.layers)
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
                _State(
                    self.length, [_copy_state(layer) for layer in self._recurrent], self._modules
                )
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
        end = self.length + len(ids)
        places = torch.arange(self.length, end, device=self._device)
        inputs = self._reading.inputs(ids[None], positions=places[None], logits=positions)
        with self._reading.turn(self._modules):
            output = cast("Any", self._model)(**inputs, **{self._reading.cache_name: self.past})
            self._modules = self._reading.take()
        self.length = end
        self.width = len(ids)
        return output.logits[0, -positions:]

    def roll_back(self, length: int) -> None:
        """Roll back to the newest state of at most `length` ids; `self.length` says which it is."""
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
                _restore_state(layer, state)
        if not all(_can_crop(layer, length) for layer in self.layers):
            self.clear()
            return
        for layer in self.layers:
            _crop(layer, self.length - length)
        self.length = length


class BufferedLayer(DynamicLayer):
    """The states of a full attention layer, in a buffer with free positions at its end.

    transformers' own layer copies all states in every pass. This one only writes the new ones, and
    rolling back only lowers a length.
    """

    def __init__(self) -> None:
        cast("Any", super()).__init__()
        self._held = 0
        self._buffers: tuple[Tensor, Tensor] | None = None

    def get_seq_length(self) -> int:
        return self._held

    def crop(self, tokens_to_remove: int) -> None:
        """Drop the last positions; their number is negative, as in transformers."""
        self._held += tokens_to_remove

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held, added = self._held, key_states.shape[-2]
        self._held = end = held + added
        buffers = self._buffers
        if buffers is None or end > buffers[0].shape[-2]:
            old = buffers or (None, None)
            buffers = self._with_room(key_states, old[0]), self._with_room(value_states, old[1])
            self._buffers = buffers
        keys, values = buffers
        keys.narrow(-2, held, added).copy_(key_states)
        values.narrow(-2, held, added).copy_(value_states)
        self.keys, self.values = keys.narrow(-2, 0, end), values.narrow(-2, 0, end)
        return self.keys, self.values

    def _with_room(self, states: Tensor, old: Tensor | None) -> Tensor:
        """A larger buffer for states of this shape and dtype, which begins with the old states."""
        room = self._held + max(GROW_BY, self._held // 8)
        buffer = states.new_empty((*states.shape[:-2], room, states.shape[-1]))
        if old is not None:
            buffer.narrow(-2, 0, old.shape[-2]).copy_(old)
        return buffer


# What `crop` of these must do is known here. A class of its own inherits it, and may keep more.
_KNOWN = (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
)


def _check_layers(model: PreTrainedModel, layers: list[CacheLayerMixin]) -> None:
    for layer in layers:
        kind = type(layer)
        if not (
            kind in _KNOWN
            or (
                "crop" in vars(kind)
                and layer.is_croppable
                and not getattr(layer, "is_sliding", False)
            )
            or kind.__name__ == "DummyLayer"  # a layer without states, since transformers 5.23
        ):
            raise UnsupportedModelError(
                f"{type(model).__name__} keeps a {kind.__name__}, which cannot be rolled "
                "back when a draft is rejected; use a model with full, sliding-window or "
                "linear attention"
            )


def _can_crop(layer: CacheLayerMixin, length: int) -> bool:
    """Whether the layer still has all states that the window before position `length` needs."""
    if not isinstance(layer, DynamicSlidingWindowLayer) or layer.keys is None:
        return True
    oldest = layer.cumulative_length - layer.keys.shape[-2]
    return oldest <= max(0, length - layer.sliding_window + 1)


def _crop(layer: CacheLayerMixin, count: int) -> None:
    """Drop the last `count` positions of the attention part of a layer."""
    if isinstance(layer, DynamicSlidingWindowLayer):
        # A recurrent layer's window was restored from its copy.
        if layer.keys is None or layer.values is None:
            return
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            return
        # `layer.crop` would cut down to the window, and a later crop into it would then lack
        # states.
        end = layer.keys.shape[-2] - count
        start = max(0, end - (layer.sliding_window - 1) - KEPT_BEYOND_WINDOW)
        layer.keys = layer.keys[:, :, start:end]
        layer.values = layer.values[:, :, start:end]
        layer.cumulative_length -= count
    elif isinstance(layer, LinearAttentionCacheLayerMixin):
        if isinstance(layer, DynamicLayer):
            DynamicLayer.crop(layer, -count)
    else:
        cast("Any", layer).crop(-count)


_RECURRENT = ("conv_states", "recurrent_states", "has_previous_state", "is_conv_states_initialized",
              "is_recurrent_states_initialized", "conv_kernel_size")  # fmt: skip
_WINDOW = ("keys", "values", "cumulative_length", "is_initialized")


def _copy_state(layer: LinearAttentionCacheLayerMixin) -> dict[str, Any]:
    state: dict[str, Any] = {name: _copied(getattr(layer, name)) for name in _RECURRENT}
    if isinstance(layer, DynamicSlidingWindowLayer):
        # These tensors are replaced in every pass and never written to: a reference is enough.
        state |= {name: getattr(layer, name) for name in _WINDOW}
    return state


def _restore_state(layer: LinearAttentionCacheLayerMixin, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(layer, name, _copied(value) if name in _RECURRENT else value)


def _copied(values: dict[int, Any]) -> dict[int, Any]:
    return {
        index: value.clone() if isinstance(value, torch.Tensor) else value
        for index, value in values.items()
    }
