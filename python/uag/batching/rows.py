"""KV buffers with a row for each of several texts, and where a pass reads and writes in them.

Position `p` of a text is in slot `p` of its row. In a block, as wide as the widest row, the new ids
of each row are aligned to the right. The padding to their left writes to a spare slot at the end of
the row, which no id attends to. (Captured passes pad on the right: see `row_graphs`.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from uag.batching.prefixes import States

# Free slots that each row gets, at least, when the buffers grow.
GROW_BY = 128


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row of a block goes.

    Attributes:
        row: its row in the buffers.
        length: how many ids that one holds.
        count: how many ids are new.
    """

    row: int
    length: int
    count: int


def laid_out(places: Sequence[Place], width: int, size: int) -> Tensor:
    """What a pass over a block with these rows is told of each id, `[3, rows * width]`.

    These are its position, its slot in the flattened buffers (row * `size` + slot), and which one
    of the new ids of all rows it is. Padding has position 0, and is the first of all.

    >>> laid_out([Place(row=1, length=4, count=1), Place(0, 7, 2)], width=2, size=10).tolist()
    [[0, 4, 7, 8], [19, 14, 7, 8], [0, 0, 1, 2]]
    """
    rows = torch.tensor([[each.row, each.length, each.count] for each in places])
    row, length, count = rows[:, :, None].unbind(1)
    new = torch.arange(width) - (width - count)
    padding = new < 0
    positions = length + new
    slots = row * size + positions.masked_fill(padding, size - 1)
    order = count.cumsum(0) - count + new
    numbers = positions.masked_fill(padding, 0), slots, order.masked_fill(padding, 0)
    return torch.stack(numbers).flatten(1)


@dataclass(slots=True)
class SlotMap:
    """Where the layers read and write in one pass.

    Attributes:
        end: number of slots that are attended to.
        begin: slots that the longest row of the pass had filled before it.
        read: the rows of the pass, `[rows of the pass]`; or only their number, if they are the
            first ones of the buffers.
        own: the slot of each id of the block in its row, `[rows of the pass, width]`: it sees those
            before it and its own.
        write: the same in the flattened buffers, `[rows of the pass * width]`; that of padding may
            be another one.
    """

    end: int
    begin: int | Tensor
    read: Tensor | int
    own: Tensor
    write: Tensor


class RowsLayer(CacheLayerMixin):
    """Keys and values of one attention layer, each `[rows, slots, heads, head size]`.

    Also for sliding-window attention: the mask hides what is outside the window, and nothing is
    dropped.
    """

    is_sliding = False
    slots: SlotMap  # set before each pass

    def __init__(self) -> None:
        cast("Any", super()).__init__()
        self.buffers: list[Tensor] = []
        self._shape = 0, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        # Zeros: memory that was never written may hold NaN, which no mask would hide.
        self.buffers = [
            states.new_zeros((*self._shape, states.shape[1], states.shape[3]))
            for states in (key_states, value_states)
        ]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self.buffers
        return self._written(keys, key_states), self._written(values, value_states)

    def make_room(self, rows: int, size: int) -> None:
        """Have so many rows of so many slots, with what was in them."""
        self._shape = rows, size
        self.buffers = [self._with_room(buffer) for buffer in self.buffers]

    def move(self, source: int, target: int) -> None:
        """Copy a row to the place of another, if there was memory for it."""
        for buffer in self.buffers:
            if source < len(buffer):
                buffer[target] = buffer[source]

    def wipe(self, row: int) -> None:
        """Forget a row: its states may be NaN, which no mask would hide from the next text."""
        for buffer in self.buffers:
            buffer[row : row + 1] = 0

    def states(self, row: int, length: int) -> tuple[Tensor, ...]:
        """The keys and the values of a row's first ids, each `[length, heads, head size]`."""
        return tuple(buffer[row, :length] for buffer in self.buffers)

    def put(self, row: int, states: tuple[Tensor, ...]) -> None:
        """Copy states to the beginning of a row."""
        if states and not self.is_initialized:
            self.lazy_initialization(*(each.transpose(0, 1)[None] for each in states))
        for buffer, each in zip(self.buffers, states, strict=True):
            buffer[row, : len(each)] = each

    def get_seq_length(self) -> int:
        return cast("int", self.slots.begin)

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self.slots.end, 0

    def _with_room(self, buffer: Tensor) -> Tensor:
        if buffer.shape[:2] == self._shape:
            return buffer
        other = buffer.new_zeros((*self._shape, *buffer.shape[2:]))
        # What the spare slot holds is nobody's.
        rows, slots = (min(sizes) for sizes in zip(self._shape, buffer.shape, strict=False))
        other[:rows, : slots - 1] = buffer[:rows, : slots - 1]
        return other

    def _written(self, buffer: Tensor, states: Tensor) -> Tensor:
        """Write `states`; all that the pass attends to, `[rows, heads, slots, head size]`."""
        read, write = self.slots.read, self.slots.write.to(buffer.device)
        buffer.flatten(0, 1).index_copy_(0, write, states.transpose(1, 2).flatten(0, 1))
        rows = buffer[:read] if isinstance(read, int) else buffer[read.to(buffer.device)]
        return rows[:, : self.slots.end].transpose(1, 2)


class RowBuffers:
    """The rows of all layers.

    >>> buffers = RowBuffers(layers=2)
    >>> buffers.make_room(rows=4, size=65)
    >>> buffers.rows, buffers.size, buffers.bytes
    (4, 65, 0)

    Attributes:
        rows: how many there are.
        size: slots of a row; the last is the spare one.
        layers: keys and values; they get memory at their first pass.
        past: the cache that the model is given.
    """

    def __init__(self, layers: int) -> None:
        self.rows = self.size = 0
        self.layers = [RowsLayer() for _ in range(layers)]
        self.past = Cache(layers=[*self.layers])

    def make_room(self, rows: int, size: int) -> None:
        """Have so many rows of so many slots: the states that have a place there are kept."""
        for layer in self.layers:
            layer.make_room(rows, size)
        self.rows, self.size = rows, size

    def point(self, slots: SlotMap) -> None:
        """Tell the layers where the next pass reads and writes."""
        for layer in self.layers:
            layer.slots = slots

    def move(self, source: int, target: int) -> None:
        """Copy a row to the place of another."""
        for layer in self.layers:
            layer.move(source, target)

    def wipe(self, row: int) -> None:
        """Forget a row."""
        for layer in self.layers:
            layer.wipe(row)

    def states(self, row: int, length: int) -> States:
        """Those of a row's first ids."""
        return [layer.states(row, length) for layer in self.layers]

    def put(self, row: int, states: States) -> None:
        """Copy states to the beginning of a row."""
        for layer, each in zip(self.layers, states, strict=True):
            layer.put(row, each)

    @property
    def empty(self) -> bool:
        """Whether there has been no whole pass yet, so that a layer may have no memory."""
        return not all(layer.is_initialized for layer in self.layers)

    @property
    def bytes(self) -> int:
        """The memory of all rows."""
        return sum(each.nbytes for layer in self.layers for each in layer.buffers)


def room_for(end: int) -> int:
    """How many slots a row gets that must have more than `end`."""
    return end + max(GROW_BY, end // 8)
