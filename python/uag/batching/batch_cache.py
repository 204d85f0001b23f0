"""One forward pass of a model for several generations, each with its own number of new ids.

Each generation has a row of the KV buffers (see `rows`), in which rolling back only lowers the
row's length.
"""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from functools import partial
from math import prod
from typing import Any, cast
from weakref import ReferenceType, ref

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from uag.batching.prefixes import Prefixes, States
from uag.batching.row_graphs import Loan, RowGraphs
from uag.batching.rows import Place, RowBuffers, SlotMap, laid_out, room_for
from uag.batching.scheduler import NARROW, PIECE, PassRequest, wait_for_pass
from uag.models.caches.kept import LEAST_SHARED, common_length
from uag.models.caches.protocol import TOGETHER, Keepable, PreallocatedCache
from uag.models.check.comparison import Comparison
from uag.models.check.records import record_of
from uag.models.check.trial import named_lengths
from uag.models.check.way import new_cache, way_of
from uag.models.linear.passes import fast_layers
from uag.models.masks import Masks, windows_of
from uag.models.properties import (
    attention_of,
    embedding_rows,
    text_config,
)
from uag.models.reading import reading_of

# Most slots of a row in the trial of a model.
MOST_TRIED = 512


class Batch:
    """A model and the generations that share its forward passes."""

    def __init__(
        self,
        model: PreTrainedModel,
        slots: int = 0,
        prefixes: Prefixes | None = None,
        graphs: RowGraphs | None = None,
    ) -> None:
        """An empty batch; a row joins with its first pass.

        Args:
            model: what reads.
            slots: how many slots an eager pass attends to, at least.
            prefixes: keeps the states of ended rows for later ones; by default none are kept.
            graphs: reads what it can; by default every pass is eager.
        """
        self._model = model
        self._least = slots
        self._prefixes = prefixes or Prefixes(0)
        self._reading = reading_of(model)
        self._graphs = graphs
        additive = model.dtype if graphs or attention_of(model) == "eager" else None
        self._masks = Masks(windows_of(model), additive)
        # Weak: a batch that kept its rows, which keep it, would outlive its call.
        self._rows: list[ReferenceType[RowCache]] = []
        self._clear()

    def _clear(self) -> None:
        self._buffers = RowBuffers(len(self._masks.windows))
        self._loan: Loan | None = None

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
            self._buffers.move(len(self._rows), index)
        self._buffers.wipe(len(self._rows))
        if not self._rows:
            self._clear()

    @property
    def rows(self) -> int:
        """How many generations have a row."""
        return len(self._rows)

    @property
    def bytes(self) -> int:
        """The memory of all rows."""
        return self._buffers.bytes

    def slots_for(self, rows: int, longest: int) -> int:
        """How many slots the buffers get for so many rows of up to so many ids."""
        if self._graphs is None:
            return rows * room_for(longest)
        return prod(self._graphs.room_for(rows, self._graphs.end_of(longest)))

    def permit(self, slots: int) -> None:
        """Let the buffers have up to so many slots, also where fewer would do."""
        if self._graphs is not None:
            self._graphs.most_slots = slots

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
                length, states = common, self._buffers.states(index, common)
        return length, states

    @torch.no_grad()
    def _take_over(self, row: "RowCache", length: int, states: States) -> None:
        """Copy the states of the first ids of a row's text, up to `length`."""
        self._enter([row])
        self._make_room(length)
        self._buffers.put(self._rows.index(row.ref), states)
        row.taken_over += length - row.length
        row.length = length

    def _keep(self, row: "RowCache", index: int) -> None:
        length = min(row.length, len(row.text))
        if not self._prefixes.budget or length < LEAST_SHARED:
            return
        with suppress(torch.OutOfMemoryError):
            held = self._buffers.states(index, length)
            states = [tuple(each.clone() for each in of) for of in held]
            self._prefixes.add(row.owner, row.text[:length], states)

    @torch.no_grad()
    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """One forward pass; for each request its logits, `[positions, vocabulary]`."""
        rows = [cast("RowCache", request.cache) for request in requests]
        self._enter(rows)
        places = [
            Place(self._rows.index(row.ref), row.length, len(request.ids))
            for row, request in zip(rows, requests, strict=True)
        ]
        width = max(place.count for place in places)
        self._make_room(max(place.length + place.count for place in places), width)
        ids = [request.ids for request in requests]
        with self._reading.turn(None):
            replayed = self._replayed(places, ids)
            wanted = max(request.positions for request in requests)
            logits, width = replayed or (self._read(places, ids, wanted, width), width)
        if logits.device.type == "cuda":
            # Each row waits for it at once; so the pass is timed, and not its launch.
            torch.cuda.current_stream(logits.device).synchronize()
        for row, request in zip(rows, requests, strict=True):
            row.length += len(request.ids)
            row.width = width
        if replayed is None:
            return [logits[row, -each.positions :] for row, each in enumerate(requests)]
        return [
            logits[place.row, place.count - each.positions : place.count]
            for place, each in zip(places, requests, strict=True)
        ]

    def _replayed(self, places: list[Place], ids: list[Tensor]) -> tuple[Tensor, int] | None:
        """Logits of the rows of the buffers, and the width of the pass, if it can be replayed."""
        if self._graphs is None or self._loan is None:
            return None
        lengths = [row.length if (row := each()) else 0 for each in self._rows]
        read = partial(self._pass, wanted=None)
        logits = self._graphs.read(self._loan.rows, lengths, places, ids, read)
        return None if logits is None else (logits, logits.shape[1])

    def _read(self, places: list[Place], ids: list[Tensor], wanted: int, width: int) -> Tensor:
        """Logits of the rows of a pass, which is run eagerly."""
        filled = max(place.length + place.count for place in places)
        device, shape = self._model.device, (len(places), width)
        told = laid_out(places, width, self._buffers.size).to(device)
        positions, write, order = told
        indices = [place.row for place in places]
        in_order = indices == list(range(len(indices)))
        slots = SlotMap(
            end=max(filled, self._least),
            begin=max(place.length for place in places),
            read=len(indices) if in_order else torch.tensor(indices, device=device),
            own=positions.view(shape),
            write=write,
        )
        with fast_layers(self._model, len(places) * width):
            return self._pass(torch.cat(ids)[order].view(shape), slots.own, slots, wanted)

    def _pass(self, block: Tensor, positions: Tensor, slots: SlotMap, wanted: int | None) -> Tensor:
        """The model's own pass over a block; logits at the last `wanted` ids of each row."""
        self._buffers.point(slots)
        inputs = self._reading.inputs(block, positions=positions, logits=wanted)
        inputs |= {
            self._reading.cache_name: self._buffers.past,
            "attention_mask": self._masks(slots.own, slots.end),
        }
        return cast("Any", self._model)(**inputs).logits

    def _index(self, row: "RowCache") -> int:
        return self._rows.index(row.ref) if row.ref in self._rows else len(self._rows)

    def _enter(self, rows: list["RowCache"]) -> None:
        """Give rows that have none a place in the buffers."""
        if not self._rows and self._graphs is not None and not self._graphs.never:
            self._loan = self._graphs.lend(self._masks.windows)
            self._buffers = self._loan.rows
        self._rows += [row.ref for row in rows if row.ref not in self._rows]

    def _make_room(self, end: int, width: int = 0) -> None:
        """Let each row have more than `end` slots, for a pass of a width."""
        held, rows = self._buffers, len(self._rows)
        end = max(end, self._least)
        if self._loan is not None and self._graphs is not None:
            longest = max(row.length for each in self._rows if (row := each()))
            end = max(end, self._graphs.end_of(longest, width))
            held.make_room(*self._graphs.room(held, rows, end))
            return
        held.make_room(max(rows, held.rows), held.size if end < held.size else room_for(end))


class RowCache(PreallocatedCache, Keepable):
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
