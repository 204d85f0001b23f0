"""One forward pass of a model for several generations, each with its own number of new ids.

Each generation has a row of the KV buffers, in which position `p` is in slot `p`, so rolling back
only lowers the row's length. In a pass the new ids of each row are aligned to the right of a block
as wide as the widest row. The padding to their left writes to a spare slot at the end of the row,
which no id attends to.
"""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from weakref import ReferenceType, ref

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

from uag.batching.prefixes import Prefixes, States
from uag.batching.scheduler import NARROW, PIECE, PassRequest, wait_for_pass
from uag.models.caches.kept import LEAST_SHARED, common_length
from uag.models.caches.protocol import TOGETHER, PreallocatedCache
from uag.models.check.comparison import Comparison
from uag.models.check.records import record_of
from uag.models.check.trial import named_lengths
from uag.models.check.way import new_cache, way_of
from uag.models.masks import Masks, windows_of
from uag.models.properties import (
    attention_of,
    embedding_rows,
    text_config,
)
from uag.models.reading import reading_of

# Free slots that each row gets, at least, when the buffers grow.
GROW_BY = 128
# Most slots of a row in the trial of a model.
MOST_TRIED = 512


@dataclass(slots=True)
class SlotMap:
    """Where the layers read and write in one pass.

    Attributes:
        rows: number of rows of the buffers.
        size: slots of a row; the last is the spare one.
        end: number of slots that are attended to.
        begin: slots that the longest row of the pass had filled before it.
        read: the rows of the pass, `[rows of the pass]`; or only their number, if they are the
            first ones of the buffers.
        write: for each id of the block, its slot in the flattened buffers (row * `size` + slot),
            `[rows of the pass * width]`.
    """

    rows: int
    size: int
    end: int
    begin: int
    read: Tensor | int
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
        self._buffers: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._buffers = [
            states.new_zeros((0, 1, states.shape[1], states.shape[3]))
            for states in (key_states, value_states)
        ]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._buffers = [self._with_room(buffer) for buffer in self._buffers]
        keys, values = self._buffers
        return self._written(keys, key_states), self._written(values, value_states)

    def move(self, source: int, target: int) -> None:
        """Copy a row to the place of another, if it has been written to.

        A row whose first pass failed has none in the buffers.
        """
        for buffer in self._buffers:
            if source < len(buffer):
                buffer[target] = buffer[source]

    def states(self, row: int, length: int) -> tuple[Tensor, ...]:
        """The keys and the values of a row's first ids, each `[length, heads, head size]`."""
        return tuple(buffer[row, :length] for buffer in self._buffers)

    def put(self, row: int, states: tuple[Tensor, ...]) -> None:
        """Copy states to the beginning of a row; `slots` says how large the buffers must be."""
        if states and not self.is_initialized:
            self.lazy_initialization(*(each.transpose(0, 1)[None] for each in states))
        self._buffers = [self._with_room(buffer) for buffer in self._buffers]
        for buffer, each in zip(self._buffers, states, strict=True):
            buffer[row, : len(each)] = each

    @property
    def bytes(self) -> int:
        """The memory of the buffers."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def get_seq_length(self) -> int:
        return self.slots.begin

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self.slots.end, 0

    def _with_room(self, buffer: Tensor) -> Tensor:
        rows, size = max(self.slots.rows, buffer.shape[0]), self.slots.size
        if buffer.shape[:2] == (rows, size):
            return buffer
        # Zeros: memory that was never written may hold NaN, which no mask would hide.
        larger = buffer.new_zeros((rows, size, *buffer.shape[2:]))
        larger[: buffer.shape[0], : buffer.shape[1] - 1] = buffer[:, :-1]
        return larger

    def _written(self, buffer: Tensor, states: Tensor) -> Tensor:
        """Write `states`; all that the pass attends to, `[rows, heads, slots, head size]`."""
        read, write = self.slots.read, self.slots.write.to(buffer.device)
        buffer.flatten(0, 1).index_copy_(0, write, states.transpose(1, 2).flatten(0, 1))
        rows = buffer[:read] if isinstance(read, int) else buffer[read.to(buffer.device)]
        return rows[:, : self.slots.end].transpose(1, 2)


class Batch:
    """A model and the generations that share its forward passes."""

    def __init__(
        self, model: PreTrainedModel, slots: int = 0, prefixes: Prefixes | None = None
    ) -> None:
        """An empty batch; a row joins with its first pass.

        `slots`: how many slots a pass attends to, at least. `prefixes`: keeps the states of ended
        rows for later ones; by default none are kept.
        """
        self._model = model
        self._least = slots
        self._prefixes = prefixes or Prefixes(0)
        self._reading = reading_of(model)
        additive = model.dtype if attention_of(model) == "eager" else None
        self._masks = Masks(windows_of(model), additive)
        # Weak: a batch that kept its rows, which keep it, would outlive its call.
        self._rows: list[ReferenceType[RowCache]] = []
        self._clear()

    def _clear(self) -> None:
        self._size = 0  # slots of a row
        self._layers = [RowsLayer() for _ in self._masks.windows]
        self._past = Cache(layers=[*self._layers])

    @torch.no_grad()
    def leave(self, row: "RowCache") -> None:
        """Free the row of an ended generation: the last row takes its place, so no gap is left.

        After the last one, the buffers are given back.
        """
        if row.ref not in self._rows:
            return
        index = self._rows.index(row.ref)
        self._keep(row, index)
        if (last := self._rows.pop()) is not row.ref:
            self._rows[index] = last
            for layer in self._layers:
                layer.move(len(self._rows), index)
        if not self._rows:
            self._clear()

    @property
    def rows(self) -> int:
        """How many generations have a row."""
        return len(self._rows)

    @property
    def bytes(self) -> int:
        """The memory of all rows."""
        return sum(layer.bytes for layer in self._layers)

    def choose(self, waiting: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """The requests that share the next pass: wide ones apart from narrow ones.

        Up to `NARROW` ids share a pass; wider rows share it with those at least half as wide, so
        that little of the block is padding.
        """
        widths = [min(len(request.ids), PIECE) for request in waiting]
        least = 1 if max(widths) <= NARROW else max(widths) // 2
        chosen = [each for each, width in zip(waiting, widths, strict=True) if width >= least]
        # In the order of the buffers: if all rows take part, they need not be gathered.
        return sorted(chosen, key=lambda request: self._index(request.cache))

    def share(self, prompts: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """Let each row take over the longest beginning of its text that was read already.

        Returns the requests of those that no other one of them is about to read a longer one for.
        """
        reading: list[PassRequest] = []
        for request in prompts:
            row = cast("RowCache", request.cache)
            most = row.length + len(request.ids) - request.positions
            length, states = self._longest(row, most)
            worthwhile = max(row.length, length) + LEAST_SHARED
            if self._common(row, reading, most) >= worthwhile:
                continue
            if length >= row.length + LEAST_SHARED:
                before = row.length
                with suppress(torch.OutOfMemoryError):  # then it is read
                    self._take_over(row, length, states)
                request.ids = request.ids[row.length - before :]
            reading.append(request)
        return reading

    def _common(self, row: "RowCache", others: Sequence[PassRequest], most: int) -> int:
        """How many ids of a row's text, at most, others are going to read."""
        texts = [
            other.text
            for each in others
            if (other := cast("RowCache", each.cache)).owner == row.owner
        ]
        return max((common_length(row.text, text, most) for text in texts), default=0)

    def _longest(self, row: "RowCache", most: int) -> tuple[int, States]:
        """The longest beginning of a row's text, of up to `most` ids, whose states are here."""
        length, states = self._prefixes.longest(row.owner, row.text, most)
        for index, other in enumerate(each() for each in self._rows):
            if other is None or other is row or other.owner != row.owner:
                continue
            common = common_length(row.text, other.text, min(most, other.length))
            if common > length:
                length, states = common, self._states(index, common)
        return length, states

    @torch.no_grad()
    def _take_over(self, row: "RowCache", length: int, states: States) -> None:
        """Copy the states of the first ids of a row's text, up to `length`."""
        self._enter([row])
        self._make_room(length)
        slots = SlotMap(len(self._rows), self._size, 0, 0, 0, torch.empty(0))
        index = self._rows.index(row.ref)
        for layer, each in zip(self._layers, states, strict=True):
            layer.slots = slots
            layer.put(index, each)
        row.taken_over += length - row.length
        row.length = length

    def _states(self, index: int, length: int) -> States:
        return [layer.states(index, length) for layer in self._layers]

    def _keep(self, row: "RowCache", index: int) -> None:
        length = min(row.length, len(row.text))
        if not self._prefixes.budget or length < LEAST_SHARED:
            return
        with suppress(torch.OutOfMemoryError):
            states = [tuple(each.clone() for each in of) for of in self._states(index, length)]
            self._prefixes.add(row.owner, row.text[:length], states)

    @torch.no_grad()
    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """One forward pass; for each request its logits, `[positions, vocabulary]`."""
        rows = [cast("RowCache", request.cache) for request in requests]
        counts = [len(request.ids) for request in requests]
        width = max(counts)
        positions = self._place(rows, counts, width)
        block = torch.stack(
            [pad(request.ids, (width - len(request.ids), 0)) for request in requests]
        )
        mask = self._masks(positions, self._layers[0].slots.end)
        wanted = max(request.positions for request in requests)
        inputs = self._reading.inputs(block, positions=positions, logits=wanted)
        inputs |= {self._reading.cache_name: self._past, "attention_mask": mask}
        with self._reading.turn(None):
            logits = cast("Any", self._model)(**inputs).logits
        if logits.device.type == "cuda":
            # Each row waits for it at once; so the pass is timed, and not its launch.
            torch.cuda.current_stream(logits.device).synchronize()
        for row, request in zip(rows, requests, strict=True):
            row.length += len(request.ids)
            row.width = width
        return [logits[index, -request.positions :] for index, request in enumerate(requests)]

    def _index(self, row: "RowCache") -> int:
        return self._rows.index(row.ref) if row.ref in self._rows else len(self._rows)

    def _enter(self, rows: list["RowCache"]) -> None:
        """Give rows that have none a place in the buffers."""
        self._rows += [row.ref for row in rows if row.ref not in self._rows]

    def _make_room(self, end: int) -> None:
        """Let each row have more than `end` slots."""
        if end >= self._size:
            self._size = room_for(end)

    def _place(self, rows: list["RowCache"], counts: list[int], width: int) -> Tensor:
        """Tell the layers where the new ids go; returns position ids, `[rows, width]`.

        Those of padding are 0.
        """
        self._enter(rows)
        begin = max(row.length for row in rows)
        filled = max(row.length + count for row, count in zip(rows, counts, strict=True))
        end = max(filled, self._least)
        self._make_room(end)

        indices = [self._rows.index(row.ref) for row in rows]
        own = torch.tensor(
            [
                (index, row.length, row.length - (width - count))
                for index, row, count in zip(indices, rows, counts, strict=True)
            ],
            device=self._model.device,
        )
        index, length, first = own[:, :, None].unbind(1)
        positions = first + torch.arange(width, device=own.device)
        padding = positions < length
        slots = SlotMap(
            rows=len(self._rows),
            size=self._size,
            end=end,
            begin=begin,
            read=len(rows) if indices == list(range(len(rows))) else own[:, 0],
            write=(index * self._size + positions.masked_fill(padding, self._size - 1)).flatten(),
        )
        for layer in self._layers:
            layer.slots = slots
        return positions.masked_fill(padding, 0)


def room_for(end: int) -> int:
    """How many slots a row gets that must have more than `end`."""
    return end + max(GROW_BY, end // 8)


class RowCache(PreallocatedCache):
    """The `ModelCache` of one generation in a `Batch`, with whose other rows it shares passes.

    Attributes:
        batch: the batch.
        owner: rows take over states only from those of the same owner.
    """

    def __init__(self, batch: Batch, owner: Hashable = "") -> None:
        """An empty row."""
        super().__init__()
        self.batch = batch
        self.owner = owner
        self.ref = ref(self)

    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Read `ids` of shape `[n]`; logits after each of the last `positions` of them."""
        return wait_for_pass(PassRequest(self, ids, positions))

    def held_bytes(self) -> int:
        """The memory of a row."""
        return self.batch.bytes // max(1, self.batch.rows)


@torch.no_grad()
def id_bytes(model: PreTrainedModel) -> int:
    """What an id takes in a row of a model's batches, in bytes: measured by a pass over one id."""
    batch = Batch(model)
    row = RowCache(batch)
    batch.forward([PassRequest(row, torch.zeros(1, dtype=torch.long, device=model.device), 1)])
    return batch.bytes // room_for(1)


def reads_rows(model: PreTrainedModel) -> bool:
    """Whether a model gives the same logits in a batch as alone; tried once for each kind."""
    return not rows_fault(model)


def rows_fault(model: PreTrainedModel) -> str:
    """Why a model cannot read several texts in one pass; empty if it can."""
    record = record_of(model)
    if (known := record.get("rows")) is None:
        try:
            known = _obstacle(model) or _fault_in_rows(model)
        except Exception as error:  # noqa: BLE001 - a model's code may raise anything
            # Not remembered: after a lack of memory the next try may succeed.
            return f"fails in a batch ({type(error).__name__})"
        record.keep("rows", known, passed=not known)
    return cast("str", known)


def _obstacle(model: PreTrainedModel) -> str:
    """What of a model has no place in the rows of a batch; empty if everything has."""
    for layer in DynamicCache(config=text_config(model)).layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            return f"keeps a {type(layer).__name__}, which has one text only"
    if attention_of(model) not in ("sdpa", "eager"):
        return f"has {attention_of(model)} attention, which takes no mask for each text"
    reading = reading_of(model)
    if way_of(model) != TOGETHER or reading.places or not reading.takes_positions:
        return "can be read one text at a time only"
    return ""


@torch.no_grad()
def _fault_in_rows(model: PreTrainedModel) -> str:
    """Read two texts of different lengths in a batch, with a rollback of one id, and each alone."""
    ids = torch.arange(1, 17, device=model.device) % embedding_rows(model)
    texts = ids[:9], ids[9:]
    batch = Batch(model, _slots_of_trial(model))
    rows = [RowCache(batch) for _ in texts]
    first, second = texts
    passes = [
        batch.forward([PassRequest(rows[0], first[:-2], 7), PassRequest(rows[1], second[:-2], 5)]),
        batch.forward([PassRequest(rows[0], first[-2:-1], 1), PassRequest(rows[1], ids[:1], 1)]),
    ]
    # Now one row is longer than before by one more id than the other.
    rows[1].roll_back(len(second) - 2)
    passes.append(
        batch.forward([PassRequest(rows[0], first[-1:], 1), PassRequest(rows[1], second[-2:], 2)])
    )
    of_first, of_second = zip(*passes, strict=True)
    read = torch.cat(of_first), torch.cat([of_second[0], of_second[2]])
    same = Comparison(model.dtype)
    alone = (new_cache(model).forward(text, len(text)) for text in texts)
    return "" if all(map(same.logits, read, alone)) else "gives other logits in a batch than alone"


def _slots_of_trial(model: PreTrainedModel) -> int:
    """How many slots the trial's passes attend to, most of them empty.

    Models that do not use the attention functions of transformers may count slots from their end,
    and so must be tried with more of them than their window has.
    """
    if getattr(model, "_supports_attention_backend", False):
        return 0
    return max((length for length in named_lengths(model) if length <= MOST_TRIED), default=0)
