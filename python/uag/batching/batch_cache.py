"""One model request several texts in one forward pass, each with its own number of ids.

A row of the buffers holds the states of one text, position `p` at place `p`, so that taking ids
back moves that row's number. In a pass the ids of each row stand at the right end of a block as
wide as the widest; what fills it up on the left is written to the spare place at the end of the
row, which nobody sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

from uag.batching.scheduler import PassRequest, wait_for_pass
from uag.models.cache import PreallocatedCache, RollbackCache, same_logits
from uag.models.properties import (
    attention_of,
    cache_name,
    embedding_rows,
    keeps_logits,
    parameters_of,
    text_config,
)

# Ids of one row in one pass; a longer prompt is read in pieces, so that masks stay small.
PIECE = 512
# SlotMap of a row, at first and by which they grow.
GROW_BY = 128
# Rows narrower than this are read with those as wide as it; wider ones with others about as wide.
NARROW = 32
FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(slots=True)
class SlotMap:
    """Where the layers read and write in a pass.

    Attributes:
        rows: how many rows there are.
        size: places of a row, of which the last is the spare one.
        end: places that are seen.
        begin: places before the pass, of the longest row.
        read: `[rows of the pass]`; how many, if they are the first ones.
        write: `[rows of the pass * width]`, for each id its row times `size` and its place there.
    """

    rows: int
    size: int
    end: int
    begin: int
    read: Tensor | int
    write: Tensor


class RowsLayer(CacheLayerMixin):
    """The states of one attention layer: `[rows, places, heads, size of a head]`, full or sliding.

    A sliding window is a matter of the mask here: nothing is dropped.
    """

    is_sliding = False
    places: SlotMap  # set before each pass

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
        """Have one row where another one was."""
        for buffer in self._buffers:
            buffer[target] = buffer[source]

    def get_seq_length(self) -> int:
        return self.places.begin

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self.places.end, 0

    def _with_room(self, buffer: Tensor) -> Tensor:
        rows, size = max(self.places.rows, buffer.shape[0]), self.places.size
        if buffer.shape[:2] == (rows, size):
            return buffer
        # Zeros: what was never written may be NaN, which no mask would hide.
        larger = buffer.new_zeros((rows, size, *buffer.shape[2:]))
        larger[: buffer.shape[0], : buffer.shape[1] - 1] = buffer[:, :-1]
        return larger

    def _written(self, buffer: Tensor, states: Tensor) -> Tensor:
        """The states of the rows of the pass, `[rows, heads, places, size of a head]`."""
        read, write = self.places.read, self.places.write.to(buffer.device)
        buffer.flatten(0, 1).index_copy_(0, write, states.transpose(1, 2).flatten(0, 1))
        rows = buffer[:read] if isinstance(read, int) else buffer[read.to(buffer.device)]
        return rows[:, : self.places.end].transpose(1, 2)


class Batch:
    """A model and the texts that it reads together."""

    def __init__(self, model: PreTrainedModel) -> None:
        """A batch without texts."""
        self._model = model
        self._cache_name = cache_name(model)
        self._keeps_logits = keeps_logits(model)
        self._windows = _windows(model)
        self._additive = attention_of(model) == "eager"
        self._rows: list[RowCache] = []
        self._size = 0  # places of a row
        self._layers = [RowsLayer() for _ in self._windows]
        self._past = Cache(layers=[*self._layers])

    @torch.inference_mode()
    def leave(self, row: "RowCache") -> None:
        """A text has ended: the last row takes its place, so that rows stay together."""
        if row not in self._rows:
            return
        index, last = self._rows.index(row), self._rows.pop()
        if last is not row:
            self._rows[index] = last
            for layer in self._layers:
                layer.move(len(self._rows), index)

    def choose(self, waiting: Sequence[PassRequest]) -> Sequence[PassRequest]:
        """Those that are read in the next pass: long ids apart from short ones."""
        widest = max(len(request.ids) for request in waiting)
        least = 1 if widest <= NARROW else widest // 2
        chosen = [request for request in waiting if len(request.ids) >= least]
        # In the order of the buffers, which need not be gathered then if all are there.
        return sorted(chosen, key=lambda request: self._index(request.cache))

    @torch.inference_mode()
    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """One forward pass: for each row what its `RowCache.forward` gives."""
        rows = [cast("RowCache", request.cache) for request in requests]
        counts = [len(request.ids) for request in requests]
        width = max(counts)
        positions = self._place(rows, counts, width)
        block = torch.stack(
            [pad(request.ids, (width - len(request.ids), 0)) for request in requests]
        )
        mask = self._mask(positions, self._layers[0].places.end)
        options: dict[str, Any] = {
            self._cache_name: self._past,
            "position_ids": positions,
            "attention_mask": mask,
        }
        if self._keeps_logits:
            options["logits_to_keep"] = max(request.positions for request in requests)
        logits = cast("Any", self._model)(
            input_ids=block, use_cache=True, return_dict=True, **options
        ).logits
        for row, request in zip(rows, requests, strict=True):
            row.length += len(request.ids)
            row.width = width
        return [logits[index, -request.positions :] for index, request in enumerate(requests)]

    def _index(self, row: "RowCache") -> int:
        return self._rows.index(row) if row in self._rows else len(self._rows)

    def _place(self, rows: list["RowCache"], counts: list[int], width: int) -> Tensor:
        """Have the layers know where the new ids go; positions, `[rows, width]`.

        Those of what fills up are 0.
        """
        self._rows += [row for row in rows if row not in self._rows]
        begin = max(row.length for row in rows)
        end = max(row.length + count for row, count in zip(rows, counts, strict=True))
        if end >= self._size:
            self._size = end + max(GROW_BY, end // 8)

        indices = [self._rows.index(row) for row in rows]
        own = torch.tensor(
            [
                (index, row.length, row.length - (width - count))
                for index, row, count in zip(indices, rows, counts, strict=True)
            ],
            device=self._model.device,
        )
        index, held, left = own[:, :, None].unbind(1)
        positions = left + torch.arange(width, device=own.device)
        filling = positions < held
        places = SlotMap(
            rows=len(self._rows),
            size=self._size,
            end=end,
            begin=begin,
            read=len(rows) if indices == list(range(len(rows))) else own[:, 0],
            write=(index * self._size + positions.masked_fill(filling, self._size - 1)).flatten(),
        )
        for layer in self._layers:
            layer.places = places
        return positions.masked_fill(filling, 0)

    def _mask(self, positions: Tensor, end: int) -> Tensor | dict[str, Tensor]:
        """What each id sees, `[rows, 1, width, places]`: what is not behind it, in the window."""
        keys = torch.arange(end, device=positions.device)
        seen = keys <= positions[:, None, :, None]
        masks = {FULL: self._shaped(seen)} if None in self._windows else {}
        for window in {window for window in self._windows if window is not None}:
            near = keys > positions[:, None, :, None] - window
            masks[SLIDING] = self._shaped(seen & near)
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _shaped(self, seen: Tensor) -> Tensor:
        if not self._additive:
            return seen
        dtype = self._model.dtype
        zeros = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return zeros.masked_fill(~seen, torch.finfo(dtype).min)


class RowCache(PreallocatedCache):
    """One text's row in a `Batch`: a `ModelCache` whose passes are those of all."""

    def __init__(self, batch: Batch) -> None:
        """A row that has read nothing."""
        super().__init__()
        self.batch = batch

    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Read `[ids]`; logits for what follows each of the last `positions` of them."""
        while len(ids) > max(PIECE, positions):
            piece = min(PIECE, len(ids) - positions)
            wait_for_pass(PassRequest(self, ids[:piece], 1))
            ids = ids[piece:]
        return wait_for_pass(PassRequest(self, ids, positions))


_in_rows: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def reads_rows(model: PreTrainedModel) -> bool:
    """Whether the model reads several texts at once as it reads each alone; tried, once."""
    if (known := _in_rows.get(model)) is None:
        try:
            known = _may_read_rows(model) and _try_rows(model)
        except Exception:  # noqa: BLE001 - a model's code may raise anything
            return False  # for now: what lacks memory may find it the next time
        _in_rows[model] = known
    return known


def _may_read_rows(model: PreTrainedModel) -> bool:
    attention = attention_of(model) in ("sdpa", "eager")
    layers = DynamicCache(config=text_config(model)).layers
    known = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return attention and known and "position_ids" in parameters_of(model)


@torch.inference_mode()
def _try_rows(model: PreTrainedModel) -> bool:
    """Two texts, of which the longer gets one id and the shorter two, with one taken back."""
    ids = torch.arange(1, 17, device=model.device) % embedding_rows(model)
    texts = ids[:9], ids[9:]
    batch = Batch(model)
    rows = [RowCache(batch) for _ in texts]
    batch.forward([PassRequest(row, text[:-2], 1) for row, text in zip(rows, texts, strict=True)])
    batch.forward([PassRequest(rows[0], texts[0][-2:-1], 1), PassRequest(rows[1], ids[:2], 1)])
    rows[1].roll_back(len(texts[1]) - 2)
    read = batch.forward(
        [PassRequest(rows[0], texts[0][-1:], 1), PassRequest(rows[1], texts[1][-2:], 2)]
    )
    alone = (RollbackCache(model).forward(text, 1)[0] for text in texts)
    return all(map(same_logits, (logits[-1] for logits in read), alone))


def _windows(model: PreTrainedModel) -> list[int | None]:
    """For each layer, how far back it sees."""
    return [
        layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None
        for layer in DynamicCache(config=text_config(model)).layers
    ]
