"""Passes over the rows of a batch that are captured once for each shape, and replayed.

A captured pass reads 1, 2, 4 ... ids of each of the first 1, 2, 4 ... rows of the buffers, and
attends to their first 256, 512, 1024 ... slots. Blocks are padded on the right, and rows that take
no part have nothing but padding. The states of padding come after those of its row, and are
overwritten by what the row reads next.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from uag.batching.rows import Place, RowBuffers, SlotMap
from uag.models.engines.fused.kernels import Places
from uag.models.engines.graphs import GraphRunner
from uag.models.engines.static_text import LEAST, Body, Graphs, elsewhere, rounded
from uag.values import power_of_two

# Most ids of a row in a captured pass, and of all rows, padding included.
WIDEST, MOST_IDS = 32, 1024
# Slots of the first buffers, at most: a call may permit more ids than it will give.
MOST_AT_FIRST = 2048

# A pass of the model: ids and positions `[rows, width]` -> logits, `[rows, width, vocabulary]`.
Pass = Callable[[Tensor, Tensor, SlotMap], Tensor]


class CapturedRows(RowBuffers):
    """Rows that stay where they are, what their passes read, and their graphs.

    Attributes:
        graphs: see `Lent`; so is `epoch`.
    """

    def __init__(self, windows: Sequence[int | None], device: torch.device) -> None:
        """`windows`: of each layer (see `windows_of`)."""
        super().__init__(len(windows))
        self.graphs: Graphs = {}
        self.epoch: object = None
        self._windows = windows
        self._ids = torch.zeros(MOST_IDS, dtype=torch.long, device=device)
        # Of each row where it begins, and its last position; which of the new ids is where.
        self._told = torch.zeros(3 * MOST_IDS, dtype=torch.long, device=device)
        self._begins = self._told[:1]
        self._logits: dict[int, Tensor] = {}  # by number of ids: one place for all graphs

    def make_room(self, rows: int, size: int) -> None:
        if (rows, size) != (self.rows, self.size):
            self.graphs.clear()
        super().make_room(rows, size)

    def begin(self) -> None:
        """Forget the last batch."""
        for layer in self.layers:
            for buffer in layer.buffers:
                buffer.zero_()

    def places(self, keys: Tensor) -> Places | None:
        """Where the new ids of the layer with these keys are; `None` if they are not its own."""
        for layer, window in zip(self.layers, self._windows, strict=True):
            if layer.is_initialized and layer.buffers[0].data_ptr() == keys.data_ptr():
                return Places(self._begins, keys.shape[2], window or 0)
        return None

    def tell(self, places: Sequence[Place], width: int) -> Tensor:
        """Set where each row of the next pass is; returns what of this may change."""
        begins = [place.length for place in places]
        lasts = [max(0, place.length + place.count - 1) for place in places]
        order, first = list[int](), 0
        for place in places:
            # Padding repeats the last id: where experts are chosen, no others are read for it.
            new = range(first, first + place.count) or range(1)
            order += [*new, *[new[-1]] * (width - len(new))]
            first += place.count
        told = torch.tensor([*begins, *lasts, *order])
        return self._told[: len(told)].copy_(told)

    def put_ids(self, ids: Sequence[Tensor], rows: int, width: int) -> None:
        """Set what the next pass reads: the new ids of each row become those of a block."""
        count = rows * width
        order = self._told[2 * rows : 2 * rows + count]
        torch.index_select(torch.cat([*ids]), 0, order, out=self._ids[:count])

    def read(self, read: Pass, rows: int, width: int, seen: int) -> Tensor:
        """The pass that is captured: `[rows * width, vocabulary]`."""
        count = rows * width
        self._begins, lasts = self._told[:rows], self._told[rows : 2 * rows]
        own = self._begins[:, None] + torch.arange(width, device=lasts.device)
        first = torch.arange(rows, device=lasts.device)[:, None] * self.size
        slots = SlotMap(
            end=seen,
            begin=self._begins.amax(),
            read=rows,
            own=own,
            write=(first + own).flatten(),
        )
        # Positions of padding are that of the last id: longer ones could change what all ids get.
        positions = torch.minimum(own, lasts[:, None])
        logits = read(self._ids[:count].view(rows, width), positions, slots).flatten(0, 1)
        # What first runs is no capture, so this is no memory of a graph.
        place = self._logits.setdefault(count, logits)
        return logits if place is logits else place.copy_(logits)

    def move_pass(self, places: Sequence[Place], width: int, seen: int) -> Sequence[Tensor]:
        """Have the pass read elsewhere; see `Body.move`."""
        moved = [
            replace(each, length=elsewhere(each.length, width, seen)) if each.count else each
            for each in places
        ]
        self.tell(moved, width)
        return [
            buffer[new.row, new.length : new.length + width]
            for new, old in zip(moved, places, strict=True)
            for layer in self.layers
            for buffer in layer.buffers
            if new != old
        ]


class Loan:
    """Who drops it gives the rows back.

    Attributes:
        rows: the memory that is lent.
    """

    def __init__(self, runner: GraphRunner, windows: Sequence[int | None]) -> None:
        new = partial(CapturedRows, windows, runner.model.device)
        self.rows = runner.lend(self, "rows", new)


class RowGraphs:
    """Reads the rows of a batch by the graphs of a model's runner.

    Attributes:
        most_slots: while all rows together have no more slots than this, they only grow; else they
            get as many as are needed when they must grow.
    """

    def __init__(self, runner: GraphRunner, rows: int, longest: int, first: int = 0) -> None:
        """For up to `rows` texts of up to `longest` ids, with room for the `first` ids at once."""
        self.most_slots = 0
        self._runner = runner
        self._rows = rows
        self._longest = longest
        self._first = min(first, longest, MOST_AT_FIRST)

    @property
    def never(self) -> str:
        """Why no pass will be captured any more; empty if some may be."""
        return self._runner.always

    def lend(self, windows: Sequence[int | None]) -> Loan:
        """Memory for a batch."""
        return Loan(self._runner, windows)

    def end_of(self, longest: int, width: int = WIDEST) -> int:
        """How far rows of up to `longest` ids are written to by a pass of a width."""
        width = power_of_two(width)
        return longest + width if width <= WIDEST else longest

    def room(self, held: RowBuffers, rows: int, end: int) -> tuple[int, int]:
        """How many rows, of how many slots, buffers must get for so many with more than `end`."""
        needed, size = self.room_for(rows, end)
        if needed <= held.rows and size <= held.size:
            return held.rows, held.size
        larger = max(needed, held.rows), max(size, held.size)
        return larger if larger[0] * larger[1] <= self.most_slots else (needed, size)

    def room_for(self, rows: int, end: int) -> tuple[int, int]:
        """The same for new buffers."""
        slots = rounded(max(end, self._first))
        if end <= (most := -(-self.end_of(self._longest) // LEAST) * LEAST):
            slots = min(slots, most)
        return min(power_of_two(rows), max(self._rows, rows)), slots + 1

    def read(
        self,
        buffers: CapturedRows,
        lengths: Sequence[int],
        places: Sequence[Place],
        ids: Sequence[Tensor],
        read: Pass,
    ) -> Tensor | None:
        """Logits for the first rows of the buffers, `[rows, width, vocabulary]`.

        Args:
            buffers: they have room for a pass of this width.
            lengths: how many ids each row holds.
            places: of the rows that take part, in any order.
            ids: their new ids, `[count]` each.
            read: the model's own pass.

        Returns:
            `None` if the pass must be run eagerly.
        """
        rows = min(power_of_two(1 + max(place.row for place in places)), buffers.rows)
        width = power_of_two(max(place.count for place in places))
        too_many = width > WIDEST or rows * width > MOST_IDS
        if self._runner.reason or buffers.empty or too_many:
            return None
        end = max(place.length for place in places) + width
        seen = self._runner.seen(end, buffers.size - 1)
        all_rows = [Place(row, length, 0) for row, length in enumerate(lengths[:rows])]
        all_rows += [Place(row, 0, 0) for row in range(len(all_rows), rows)]
        for place in places:
            all_rows[place.row] = place
        new = {place.row: each for place, each in zip(places, ids, strict=True)}
        told = buffers.tell(all_rows, width)
        buffers.put_ids([new[row] for row in sorted(new)], rows, width)
        body = Body(
            partial(buffers.read, read, rows, width, seen),
            partial(buffers.move_pass, all_rows, width, self._runner.known(seen)),
            [told],
        )
        logits = self._runner.run(buffers, (("rows", rows), width, seen), body)
        return logits.view(rows, width, -1)
