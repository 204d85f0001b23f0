"""The memory of one text whose passes are captured: everything stays where it is."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from uag.models.caches.layers import gather_path
from uag.models.caches.tree import Branches, Tree
from uag.models.engines.capture import Run
from uag.models.engines.fused.attention import Buffered, attending
from uag.models.engines.fused.kernels import Places
from uag.values import power_of_two

if TYPE_CHECKING:
    from uag.models.caches.protocol import StaticChoose

# Positions of the smallest buffers, and of the fewest that a captured pass attends to.
LEAST = 256
# What a captured pass does, its width, and how many positions it attends to.
Key = tuple[Hashable, int, int]
# What replays a captured pass, and its result.
Graphs = dict[Key, tuple[Run, Tensor]]
# Ids that are chosen on the device before the host sees them, at most.
MOST_STEPS = 64
# A capture is checked this many positions later, or earlier.
ELSEWHERE = 5


class Lent(Buffered, Protocol):
    """What passes are captured over: buffers that stay where they are.

    Attributes:
        graphs: those of each captured pass; the one that was used last is the last.
        epoch: when they were captured: the runner has another one if none of them holds any more.
    """

    graphs: Graphs
    epoch: object

    def begin(self) -> None:
        """Forget the states of whoever had it before."""
        ...


class Slots:
    """Where a pass writes, and how many positions it attends to.

    Attributes:
        size: positions of the buffers.
        begin: the position of the pass's first id, a tensor without axes.
        at: the positions of its ids, `[width]`.
        seen: how many positions it attends to, from the first one.
        chained: whether each of its ids follows the one before it, as kernels take it.
    """

    def __init__(self, size: int, begin: Tensor) -> None:
        self.size = self.seen = size
        self.begin = begin
        self.at = begin[None]
        self.chained = True


class StaticLayer(CacheLayerMixin):
    """Keys and values of one attention layer, `[1, heads, positions, head size]`.

    Also for sliding windows: the mask hides what is outside, and nothing is dropped.
    """

    is_compileable = True
    is_sliding = False
    keys: Any  # a tensor after the first pass
    values: Any

    def __init__(self, slots: Slots, window: int | None) -> None:
        """`window`: how many positions an id attends to; `None` for all before it."""
        cast("Any", super()).__init__()
        self._slots = slots
        self.window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        # Zeros: memory that was never written may hold NaN, which no mask would hide.
        self.keys, self.values = (
            states.new_zeros((*states.shape[:2], self._slots.size, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new = key_states, value_states
        if (found := attending.get()) and found[0].attends(self.keys, *new):
            found[0].store(new, self.states, self._slots.begin)
        else:
            for held, states in zip(self.states, new, strict=True):
                held.index_copy_(2, self._slots.at, states)
        seen = self._slots.seen
        return self.keys.narrow(2, 0, seen), self.values.narrow(2, 0, seen)

    @property
    def states(self) -> tuple[Tensor, Tensor]:
        """Keys and values."""
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return cast("int", self._slots.begin)

    def get_max_length(self) -> int:
        return self._slots.size

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self._slots.seen, 0


@dataclass(frozen=True, slots=True)
class Body:
    """What is captured.

    Attributes:
        run: a pass; returns its logits.
        move: has it read at another place from now on, if there is room for one; returns the states
            that it writes there.
        changes: tensors that `run` or `move` change beside states.
    """

    run: Callable[[], Tensor]
    move: Callable[[], Sequence[Tensor]]
    changes: Sequence[Tensor]

    def restoring(self) -> Callable[[], None]:
        """What sets the tensors back to what they are now."""
        held = [each.clone() for each in self.changes]

        def restore() -> None:
            for tensor, value in zip(self.changes, held, strict=True):
                tensor.copy_(value)

        return restore


class StaticText:
    """The states of one text, what its passes read, and their graphs; later texts use it again.

    >>> text = StaticText([None, None], size=300, width=8, device=torch.device("cpu"))
    >>> text.slots.size, text.empty
    (512, True)

    Attributes:
        slots: where the next pass writes.
        ids: what the next pass reads first, `[width]`.
        offsets: how far each of these is from the first one, `[width]`.
        last: the index of the last of these that is not padding, `[1]`.
        table: how the ids of the next pass follow each other, if not one after the other (see
            `Tree.table`).
        drafted: ids that passes have chosen, `[MOST_STEPS]`; the next one goes to `step`, `[1]`.
        choosers: what chooses them, by its kind, with a state that stays where it is.
        past: the cache that the model is given.
        graphs: see `Lent`; so is `epoch`.
    """

    def __init__(
        self, windows: Sequence[int | None], size: int, width: int, device: torch.device
    ) -> None:
        """`windows`: of each layer (see `windows_of`)."""
        # Together, so that one copy from the host changes them all.
        self._numbers = torch.zeros(3 + width, dtype=torch.long)
        given = self._given = self._numbers.to(device, copy=True)
        self._begin, self.step, self.last, self.ids = given[:1], given[1:2], given[2:3], given[3:]
        self.offsets = torch.arange(width, device=device)
        self.table = torch.zeros((1 + width, width), dtype=torch.long, device=device)
        self.drafted = torch.zeros(MOST_STEPS, dtype=torch.long, device=device)
        self.choosers: dict[Hashable, StaticChoose] = {}
        self._logits: Tensor | None = None
        self.epoch: object = None
        self._windows = windows
        self._make(rounded(size))

    def _make(self, size: int) -> None:
        self.slots = Slots(size, self._begin[0])
        self.layers = [StaticLayer(self.slots, window) for window in self._windows]
        self.past = Cache(layers=[*self.layers])
        self._begun = False
        self.graphs: Graphs = {}

    @property
    def empty(self) -> bool:
        """Whether there has been no pass yet, so that the layers have no memory."""
        self._begun = self._begun or all(layer.is_initialized for layer in self.layers)
        return not self._begun

    def places(self, keys: Tensor) -> Places | None:
        """Where the new ids of the layer with these keys are; `None` if they are not its own.

        Also if they are no chain.
        """
        for layer in self.layers if self.slots.chained else ():
            if layer.is_initialized and layer.keys.data_ptr() == keys.data_ptr():
                return Places(self._begin, keys.shape[2], layer.window or 0)
        return None

    def begin(self) -> None:
        """Forget the last text: its states may hold NaN, which no mask would hide."""
        states = [each for layer in self.layers if layer.is_initialized for each in layer.states]
        if states:
            cast("Any", torch)._foreach_zero_(states)  # all by one launch

    def make_room(self, size: int) -> None:
        """Grow to at least `size` positions, keeping the states. Graphs are captured again."""
        if size <= self.slots.size:
            return
        old = self.layers
        self._make(rounded(size))
        for layer, small in zip(self.layers, old, strict=True):
            if small.is_initialized:
                layer.lazy_initialization(small.keys, small.values)
                for larger, held in zip(layer.states, small.states, strict=True):
                    larger[:, :, : held.shape[2]] = held

    def move(self, place: int, width: int, seen: int) -> Sequence[Tensor]:
        """Have the pass of a `width` at a place begin at another one; see `Body`."""
        other = elsewhere(place, width, seen)
        if other == place:
            return ()
        self.slots.begin.fill_(other)
        slots = slice(other, other + width)
        return [each[:, :, slots] for layer in self.layers for each in layer.states]

    def put(self, ids: Tensor, width: int, place: int) -> Tensor:
        """Set where the next pass begins, and what it reads: `[ids]`, on any device -> `[width]`.

        Padding repeats the last id: where experts are chosen, no others are read for it. The next
        step is the first one.
        """
        count = ids.shape[0]
        numbers = self._numbers.numpy()
        numbers[:3] = place, 0, count - 1
        captured, known = width <= self.ids.shape[0], ids.is_cpu
        if captured and known:
            numbers[3 : 3 + count] = ids.numpy()
            numbers[3 + count : 3 + width] = numbers[2 + count]
        # Without a wait: CUDA has taken them when it returns.
        self._given.copy_(self._numbers, non_blocking=True)
        if not captured:
            return ids.to(self.ids.device)
        if not known:
            self.ids[:count].copy_(ids)
            if count < width:
                self.ids[count:width].copy_(ids[-1:].expand(width - count))
        return self.ids[:width]

    def at(self, width: int) -> Tensor:
        """The positions of the ids of a pass, `[width]`; those of padding too."""
        begin, offsets = self.slots.begin, self.offsets[:width]
        if len(offsets) < width:  # of no captured pass
            offsets = torch.arange(width, device=begin.device)
        return begin[None] if width == 1 else begin + offsets

    def put_tree(self, tree: Tree, width: int) -> Branches:
        """Set how the ids of the next pass follow each other, which `put` has set."""
        most = len(self.ids)
        if width > most:
            return Branches(self.slots.begin, tree.table(width).to(self.table.device))
        self.table.copy_(tree.table(most))
        return Branches(self.slots.begin, self.table[: 1 + width, :width])

    def chooser(self, choose: "StaticChoose") -> "StaticChoose":
        """The one that captured steps choose by, of its kind."""
        if choose.kind not in self.choosers:
            self.choosers[choose.kind] = choose.copy()
        return self.choosers[choose.kind]

    def end_step(self, block: Tensor, chosen: Tensor) -> None:
        """Have the next step read the id that this one has chosen, both `[1]`."""
        step = block, self.drafted, self.step, self.slots.begin
        if found := attending.get():
            found[0].end_step(chosen, *step)
            return
        block.copy_(chosen)
        self.drafted.index_copy_(0, self.step, block)
        self.step.add_(1)
        self.slots.begin.add_(1)

    def hold(self, logits: Tensor) -> None:
        """Keep the logits that the id of a step is chosen from: `[1, vocabulary]`."""
        if self._logits is None:
            self._logits = logits.new_zeros(MOST_STEPS, logits.shape[1])
        self._logits.index_copy_(0, self.step, logits)

    def held(self, steps: int) -> Tensor:
        """The logits of the first steps: `[steps, vocabulary]`."""
        return cast("Tensor", self._logits)[:steps].clone()

    def keep(self, place: int, path: Sequence[int]) -> None:
        """Of the nodes of a tree, from a place on, move those of a path together."""
        if [*path] == [*range(len(path))]:  # they are
            return
        nodes = torch.tensor(path, device=self.ids.device)
        for layer in self.layers:
            for states in layer.states:
                gather_path(states, place, nodes)


def rounded(size: int) -> int:
    """The size of buffers for `size` positions: a power of two.

    >>> rounded(5), rounded(257)
    (256, 512)
    """
    return max(LEAST, power_of_two(size))


def elsewhere(place: int, count: int, seen: int) -> int:
    """Where else `count` ids have room before `seen`; the same place if there is no other one.

    >>> elsewhere(9, 2, seen=256), elsewhere(253, 2, seen=256), elsewhere(0, 254, seen=256)
    (14, 248, 0)
    """
    if place + ELSEWHERE + count <= seen:
        return place + ELSEWHERE
    return place - ELSEWHERE if place >= ELSEWHERE else place
