"""How the layers of a cache are rolled back, for each kind of layer.

| layer | how it is rolled back |
|---|---|
| full attention | the length is lowered; the states stay in a preallocated buffer |
| sliding window | the last positions are dropped; more than the window is kept for that |
| linear attention, Mamba, convolution | a copy is restored |
| shared with another layer | nothing to do |
| one of its model's own, without a window | by its own `crop`, if it has one |

Any other kind of layer cannot be rolled back.
"""

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
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

# An assistant's last few ids change when the text after them changes how they are tokenized.
# Positions kept beyond the window let the cache roll back without reading the whole window again.
KEPT_BEYOND_WINDOW = 64
# A full buffer grows by this many positions, or by an eighth of its length if that is more.
GROW_BY = 128


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
KNOWN = (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
)


def check_layers(model: PreTrainedModel, layers: list[CacheLayerMixin]) -> None:
    """Refuse a layer that cannot be rolled back.

    Raises:
        UnsupportedModelError: naming the layer.
    """
    for layer in layers:
        kind = type(layer)
        if not (
            kind in KNOWN
            or (
                "crop" in vars(kind)
                and layer.is_croppable
                and not getattr(layer, "is_sliding", False)
            )
            or has_no_states(layer)
        ):
            raise UnsupportedModelError(
                f"{type(model).__name__} keeps a {kind.__name__}, which cannot be rolled "
                "back when a draft is rejected; use a model with full, sliding-window or "
                "linear attention"
            )


def has_no_states(layer: object) -> bool:
    """Whether it stands for a layer that keeps nothing of its own, since transformers 5.23."""
    return type(layer).__name__ == "DummyLayer"


def can_crop(layer: CacheLayerMixin, length: int) -> bool:
    """Whether the layer still has all states that the window before position `length` needs."""
    if not isinstance(layer, DynamicSlidingWindowLayer) or layer.keys is None:
        return True
    oldest = layer.cumulative_length - layer.keys.shape[-2]
    return oldest <= max(0, length - layer.sliding_window + 1)


def crop_layer(layer: CacheLayerMixin, count: int) -> None:
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


def gather_path(states: Tensor, begin: int, path: Tensor) -> None:
    """Move the states of a tree's path together: `[rows, heads, positions, head size]`, in place.

    `begin`: the place of the tree's first node; `path`: indices of nodes.

    >>> states = torch.arange(5.0).view(1, 1, 5, 1)
    >>> gather_path(states, 2, torch.tensor([0, 2]))
    >>> states.flatten().tolist()
    [0.0, 1.0, 2.0, 4.0, 4.0]
    """
    nodes = states.narrow(2, begin, states.shape[2] - begin)
    nodes.narrow(2, 0, len(path)).copy_(nodes.index_select(2, path.to(states.device)))


_RECURRENT = ("conv_states", "recurrent_states", "has_previous_state", "is_conv_states_initialized",
              "is_recurrent_states_initialized", "conv_kernel_size")  # fmt: skip
_WINDOW = ("keys", "values", "cumulative_length", "is_initialized")


def copy_state(layer: LinearAttentionCacheLayerMixin) -> dict[str, Any]:
    """A copy of the states of a recurrent layer."""
    state: dict[str, Any] = {name: _copied(getattr(layer, name)) for name in _RECURRENT}
    if isinstance(layer, DynamicSlidingWindowLayer):
        # These tensors are replaced in every pass and never written to: a reference is enough.
        state |= {name: getattr(layer, name) for name in _WINDOW}
    return state


def restore_state(layer: LinearAttentionCacheLayerMixin, state: dict[str, Any]) -> None:
    """Set a recurrent layer back to what `copy_state` returned."""
    for name, value in state.items():
        setattr(layer, name, _copied(value) if name in _RECURRENT else value)


def _copied(values: dict[int, Any]) -> dict[int, Any]:
    return {
        index: value.clone() if isinstance(value, torch.Tensor) else value
        for index, value in values.items()
    }
