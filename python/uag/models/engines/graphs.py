"""A model whose passes are captured once for each width, and replayed: without a compiler.

States are in buffers that stay where they are. A pass reads a block of one of a few widths; the
first one of a width is captured, with the model's own code, and later ones replay that. A block
that is not full is padded, and the states of its padding are overwritten by the next pass. Where
a pass begins is a tensor; how far back it attends is one of a few lengths.

A capture is believed only after it gave at another place what the model itself gives there.
"""

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from threading import RLock
from typing import Any, TypeVar, cast
from weakref import finalize

import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.errors import UagWarning
from uag.models.caches.protocol import (
    Copied,
    Keepable,
    ModelCache,
    PreallocatedCache,
    ReadingAhead,
    Rolled,
    SelfFeeding,
    StaticChoose,
    pieces_of,
)
from uag.models.caches.tree import Branches, Tree
from uag.models.check.comparison import HALF, tolerance
from uag.models.engines.capture import CAPTURERS, Run
from uag.models.engines.fused.attention import attending
from uag.models.engines.fused.fusion import Fusion, fused, fusion_of
from uag.models.engines.obstacles import has_experts, obstacle, obstacle_now, state_of
from uag.models.engines.runner import BLOCK, ModelRunner
from uag.models.engines.static_text import (
    MOST_STEPS,
    Body,
    Key,
    Lent,
    Slots,
    StaticText,
    rounded,
)
from uag.models.masks import Masks, windows_of
from uag.models.properties import context_window
from uag.models.reading import reading_of

# Numbers of ids in a captured pass; a pass over more, such as a prompt's, runs eagerly. There are
# few, as each is captured at its first use, and a pass takes about as long at the next width.
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
# Most ids that a few captured passes read. An eager pass, bound by its launches, takes longer.
MOST_CAPTURED = 96
# Most ids in an eager pass, so that masks stay small.
PIECE = 1024
# Positions of the first buffers, at most: a call may permit more ids than it will give.
MOST_AT_FIRST = 8192
# Positions that a pass attends to, at least, where that is by a kernel: those that are not there
# yet cost it next to nothing, and a capture for each length does.
LEAST_SEEN = 1024
# The share of ids that must be the same where rounding may change how some are read.
MAJORITY = 0.5
# Graphs of one text or batch, at most: each takes some megabytes of the driver's memory.
MOST_GRAPHS = 64

Memory = TypeVar("Memory", bound=Lent)


def captures(device: torch.device) -> bool:
    """Whether passes on a device can be captured.

    >>> captures(torch.device("cpu"))
    False
    """
    return device.type in CAPTURERS


class GraphRunner(ModelRunner):
    """Runs one model by captured graphs, or eagerly where that is not possible.

    Attributes:
        always: why it will run eagerly whatever changes; else empty.

    >>> str(GraphRunner(target))
    'eager: graphs are captured on CUDA devices, and it is on cpu'
    """

    engine = "graphs"

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        self._reading = reading_of(model)
        self._window = context_window(model)
        self._free: dict[Hashable, list[Any]] = {}
        self._believed: set[Hashable] = set()
        self._epoch = object()
        self._lock = RLock()
        self.always = obstacle(model)
        self.reason = self.always
        if self.reason:
            return
        self._masks = Masks(windows_of(model), model.dtype)
        self._state = state_of(self.modules.now())
        self._graphs = CAPTURERS[model.device.type](model.device)
        with self.setting_up():
            self._fusion = fusion_of(model)
        try:
            fault = "" if self._reads_blocks() else "gives other logits in a block with padding"
        except Exception as error:  # noqa: BLE001 - a model's code may raise anything
            fault = f"fails in a block with padding ({type(error).__name__})"
        if fault:
            self._give_up(f"it {fault}")

    def look(self) -> None:
        if self.always:
            return
        with self._lock:  # while a pass is captured, the model seems to have code of its own
            modules = self.modules.now()
            self.reason = obstacle_now(modules)
            if (state := state_of(modules)) != self._state:
                self._state = state
                self._forget()  # graphs that read weights which are no longer there

    def new_cache(self, longest: int = 0) -> ModelCache:
        self.look()
        return super().new_cache(longest) if self.reason else GraphCache(self, longest)

    def lend(self, borrower: object, kind: Hashable, new: Callable[[], Memory]) -> Memory:
        """Lend memory of a kind; it comes back when the borrower is garbage-collected."""
        with self._lock:
            free: list[Memory] = self._free.setdefault(kind, [])
            memory = free.pop() if free else new()
            memory.begin()
        finalize(borrower, free.append, memory).atexit = False
        return memory

    def new_text(self, longest: int = 0) -> StaticText:
        """Memory of a text of about `longest` ids, if that is known."""
        size = min(longest, MOST_AT_FIRST)
        return StaticText(self._masks.windows, size, WIDTHS[-1], self.model.device)

    def seen(self, end: int, size: int) -> int:
        """How many of `size` positions a captured pass attends to that ends before `end`."""
        fused = self._fusion is not None and self._fusion.attends
        return min(max(rounded(end), LEAST_SEEN if fused else 0), size)

    def known(self, positions: int) -> int:
        """So many positions, or as many as the model has: a capture may be checked at those."""
        return positions if self._window is None else min(positions, self._window)

    @torch.no_grad()
    def run(self, memory: Lent, key: Key, body: Body) -> Tensor:
        """The logits of a pass, which is replayed if it was captured before."""
        with self._lock:
            return self._run(memory, key, body).clone()

    def read(
        self, text: StaticText, place: int, ids: Tensor, logits: int, tree: Tree | None = None
    ) -> tuple[Tensor, int]:
        """Read `[ids]` after the first `place` of a text.

        `tree`: which of them each follows; by default they are a chain.

        Returns:
            Logits at the last ones, `[logits, vocabulary]`, and the width of the pass.
        """
        count = ids.shape[0]
        width = next((width for width in WIDTHS if width >= count), count)
        end = place + width
        with self._lock:
            text.make_room(end)
            fits = width <= WIDTHS[-1] and (self._window is None or end <= self._window)
            if not fits or text.empty or self.reason:
                block = text.put(ids, count, place)
                branches = text.put_tree(tree, count) if tree else None
                out = self._pass(text, block, place + count, logits, branches=branches)
                return out[-logits:], count
            block, seen = text.put(ids, width, place), self.seen(end, text.slots.size)
            branches = text.put_tree(tree, width) if tree else None
            run = partial(self._pass, text, block, seen, branches=branches)
            body = Body(run, partial(text.move, place, width, self.known(seen)), [text.slots.begin])
            out = self._run(text, ("tree" if tree else "logits", width, seen), body)
            # The next replay may overwrite it.
            return out[count - logits : count].clone(), width

    def read_ahead(self, text: StaticText, place: int, id: Tensor) -> tuple[int, Tensor] | None:
        """Read an id, `[1]`, which only the device may know yet; see `ReadingAhead`.

        Returns:
            The id, and the logits after it, which may not be there yet; `None` without such a pass.
        """
        if text.empty or self.reason or self.known(place + 1) <= place:
            return None
        copied = self.copied(id)
        logits, _ = self.read(text, place, id.clamp(min=0), 1)
        return copied.wait()[0], logits

    def copied(self, ids: Tensor) -> Copied:
        """Begin to copy ids to the host."""
        return self._graphs.copied(ids)

    def roll(
        self,
        text: StaticText,
        place: int,
        fed: Tensor,
        steps: int,
        choose: StaticChoose,
        positions: int,
    ) -> Rolled:
        """Read `fed` after the first `place` ids, choose the next id, and so on; see `SelfFeeding`.

        A step feeds the next one, so that one graph does all of them.
        """
        holds = positions > 1
        with self._lock:
            setting_up = self.seconds
            text.make_room(place + steps)
            block = text.put(fed, 1, place)
            own = text.chooser(choose)
            for tensor, value in zip(own.state, choose.state, strict=True):
                tensor.copy_(value)
            changes = [block, text.slots.begin, text.drafted, text.step, *own.state]
            logits = block
            begin = self._graphs.mark()
            for step in range(place, place + steps):
                seen = self.seen(step + 1, text.slots.size)
                run = partial(self._step, text, block, seen, own, holds)
                body = Body(run, partial(text.move, step, 1, self.known(seen)), changes)
                logits = self._run(text, (("step", own.kind, holds), 1, seen), body)
            took = partial(self._graphs.mark().since, begin)
            # While something is captured, the device waits for the host.
            return Rolled(
                text.drafted[:steps].clone(),
                text.held(steps) if holds else logits,
                took if self.seconds == setting_up else None,
            )

    def pieces(self, text: StaticText, count: int, logits: int) -> list[int]:
        """Sizes of the passes that read `count` ids, of which the last `logits` need logits.

        A few captured passes are faster than an eager one. Where the longest text of a pass decides
        what all of it get, they are read at once.
        """
        if self._reading.regimes:
            return [count]
        if count <= MOST_CAPTURED and not (text.empty or self.reason):
            return [min(WIDTHS[-1], count - at) for at in range(0, count, WIDTHS[-1])]
        sizes: list[int] = []
        while count > max(PIECE, logits):
            sizes.append(min(PIECE, count - logits))
            count -= sizes[-1]
        return [*sizes, count]

    @torch.no_grad()
    def _pass(
        self,
        text: StaticText,
        ids: Tensor,
        seen: int,
        logits: int | None = None,
        branches: Branches | None = None,
    ) -> Tensor:
        """The model's own forward pass over `ids`, which attends to the first `seen` positions.

        `[ids]` -> `[at least logits, or ids; vocabulary]`.
        """
        slots = text.slots
        slots.at = text.at(len(ids))
        slots.seen = seen
        slots.chained = branches is None
        if branches is None:
            # Padding has the position of the last id: a longer one could change what all ids get.
            single = len(ids) == 1
            positions = slots.at if single else torch.minimum(slots.at, slots.begin + text.last)
            mask = self._mask(slots, len(ids))
        else:
            keys = torch.arange(seen, device=ids.device)
            positions, mask = branches.positions, self._masks.of_tree(branches, lambda _: keys)
        inputs = self._reading.inputs(ids[None], positions=positions[None], logits=logits)
        inputs["attention_mask"] = mask
        inputs[self._reading.cache_name] = text.past
        return cast("Any", self.model)(**inputs).logits[0]

    def _mask(self, slots: Slots, width: int) -> Tensor | dict[str, Tensor]:
        """What the ids of a chain attend to; by one kernel, where there are kernels."""
        if (found := attending.get()) is None:
            return self._masks(slots.at[None], slots.seen)
        begins, seen = slots.begin[None], slots.seen
        return self._masks.by_kind(lambda window: found[0].mask(begins, width, seen, window or 0))

    @torch.no_grad()
    def _step(
        self, text: StaticText, block: Tensor, seen: int, choose: StaticChoose, holds: bool
    ) -> Tensor:
        """A pass over one id, which is replaced by the next one.

        `holds`: whether the logits of each step are kept.
        """
        logits = self._pass(text, block, seen)
        if holds:
            text.hold(logits)
        text.end_step(block, choose(logits))
        return logits

    def _run(self, memory: Lent, key: Key, body: Body) -> Tensor:
        """The logits of a pass: replayed, captured if it never was, or run eagerly."""
        if memory.epoch is not self._epoch:
            memory.graphs.clear()
            memory.epoch = self._epoch
        if key not in memory.graphs:
            if self.reason:
                return body.run()
            with self.setting_up():
                return self._captured(memory, key, body)
        replay, out = memory.graphs[key] = memory.graphs.pop(key)
        replay()
        return out

    def _captured(self, memory: Lent, key: Key, body: Body) -> Tensor:
        """Capture a pass, and run it; what cannot be captured runs eagerly from now on."""
        fault = self._try(memory, key, body, self._fusion)
        if fault and self._fusion is not None:
            first, self._fusion = fault, None
            self._forget(memory)
            fault = self._try(memory, key, body, None)
            if not fault:
                self._warn(f"is captured without uag's kernels: with them {first}")
        if fault:
            self._give_up(fault, memory)
        if key not in memory.graphs:
            return body.run()
        replay, out = memory.graphs[key]
        replay()
        return out

    def _try(self, memory: Lent, key: Key, body: Body, fusion: Fusion | None) -> str:
        """Capture a pass; returns why it cannot be, or an empty text.

        It is kept if it is believed: not where a text is too short to check it elsewhere.
        """
        what, *_ = key
        restore = body.restoring()
        try:
            with fused(self.model, fusion, memory):
                replay, out = self._capture(body.run, restore)
        except Exception as error:  # noqa: BLE001 - a model's code may raise anything
            # If the device itself has failed, so does the eager pass.
            cause = str(error).strip().split("\n")[0]
            restore()
            return f"a pass cannot be captured: {type(error).__name__}: {cause}"
        if what not in self._believed:
            states = body.move()
            there = replace(body, changes=[*body.changes, *states])
            same = bool(states) and self._same(there, (replay, out))
            restore()
            if not states:  # nowhere to check it
                return ""
            if not same:
                return "a captured pass gives other logits at another place"
            self._believed.add(what)
        if len(memory.graphs) >= MOST_GRAPHS:
            del memory.graphs[next(iter(memory.graphs))]  # the least recently used
        memory.graphs[key] = replay, out
        return ""

    def _capture(self, body: Callable[[], Tensor], restore: Run) -> tuple[Run, Tensor]:
        out: list[Tensor] = []

        def run() -> None:
            out[:] = [body()]

        return self._graphs.capture(run, restore), out[0]

    def _same(self, body: Body, captured: tuple[Run, Tensor]) -> bool:
        """Whether a captured pass gives what the model itself gives; what they change is put back.

        Also in between, so that a captured pass finds nothing of what the other one wrote.
        """
        replay, out = captured
        restore = body.restoring()
        true = body.run().clone()
        restore()
        out.zero_()
        replay()
        # A model may give logits in float32 that it has computed in half precision.
        close = _close(out, true, max(map(tolerance, (self.model.dtype, true.dtype))))
        restore()
        # There, rounding may also have a router choose another expert for an id.
        may_flip = has_experts(self.model) and self.model.dtype in HALF
        return bool(close.float().mean() > MAJORITY if may_flip else close.all())

    def _give_up(self, reason: str, memory: Lent | None = None) -> None:
        """Run the model eagerly from now on, and say why."""
        self.reason = self.always = reason
        self._forget(memory)
        self._warn(f"runs eagerly, without graphs: {reason}")

    def _forget(self, memory: Lent | None = None) -> None:
        """Forget all graphs: at once those of some memory, and those of memory that is free."""
        self._epoch = object()
        self._free = {}
        self._believed.clear()
        if memory is not None:
            memory.graphs.clear()
            memory.epoch = self._epoch

    def _warn(self, what: str) -> None:
        warnings.warn(f"{type(self.model).__name__} {what}", UagWarning, stacklevel=4)

    def _reads_blocks(self) -> bool:
        """Whether a padded block gives the logits of its ids without padding; tried eagerly."""
        text = self.new_text()

        def read(ids: Tensor, place: int) -> Tensor:
            block = text.put(ids, BLOCK, place)
            return self._pass(text, block, place + BLOCK)[: len(ids)]

        return self.reads_blocks(read)


class GraphCache(PreallocatedCache, Keepable, SelfFeeding, ReadingAhead):
    """A `ModelCache` in the memory that a `GraphRunner` lends."""

    def __init__(self, runner: GraphRunner, longest: int) -> None:
        """An empty cache; it borrows memory at its first pass."""
        super().__init__()
        self._runner = runner
        self._longest = longest
        self._text: StaticText | None = None
        # What was read ahead: after how many ids, which one, and the logits after it.
        self._ahead: tuple[int, int, Tensor] | None = None

    def held_bytes(self) -> int:
        """The memory that is borrowed."""
        layers = self._text.layers if self._text and not self._text.empty else ()
        return sum(each.nbytes for layer in layers for each in layer.states)

    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass; see `ModelCache.forward`."""
        runner, text = self._runner, self._borrowed()
        ahead, self._ahead = self._ahead, None
        count = ids.shape[0]
        if ahead is not None and count == 1 and (self.length, int(ids)) == ahead[:2]:
            self.length += 1
            self.width = 1
            return ahead[2]
        logits: list[Tensor] = []
        self.width = 0
        sizes = runner.pieces(text, count, positions)
        for piece, wanted, _ in pieces_of(ids, sizes, positions):
            read, width = runner.read(text, self.length, piece, wanted)
            logits.append(read)
            self.length += piece.shape[0]
            self.width += width
        return logits[0] if len(logits) == 1 else torch.cat(logits)[-positions:]

    def read_tree(self, ids: Tensor, tree: Tree, positions: int) -> Tensor:
        """Run a forward pass over a tree; see `TreeReading.read_tree`."""
        self._ahead = None
        text, certain = self._borrowed(), len(ids) - len(tree)
        whole = tree.after(certain)
        logits, self.width = self._runner.read(text, self.length, ids, positions, whole)
        self.length += certain
        return logits

    def keep(self, path: Sequence[int]) -> None:
        """Add the nodes of a path to the ids that are held; see `TreeReading.keep`."""
        self._borrowed().keep(self.length, path)
        self.length += len(path)

    def roll(self, fed: Tensor, steps: int, choose: StaticChoose, positions: int) -> Rolled | None:
        """Read an id, choose the next one, and so on; see `SelfFeeding`."""
        if self._text is None or steps > MOST_STEPS:
            return None
        self._ahead = None
        rolled = self._runner.roll(self._text, self.length, fed, steps, choose, positions)
        self.length += steps
        self.width = 1
        return rolled

    def copied(self, ids: Tensor) -> Copied:
        """Begin to copy ids to the host; see `SelfFeeding`."""
        return self._runner.copied(ids)

    def read_ahead(self, id: Tensor) -> int | None:
        """Begin the pass over an id that may be next; see `ReadingAhead`."""
        if id.is_cpu and self._ahead is not None and self._ahead[:2] == (self.length, int(id)):
            return int(id)
        read = self._runner.read_ahead(self._borrowed(), self.length, id)
        self._ahead = read and (self.length, *read)
        return read and read[0]

    def _borrowed(self) -> StaticText:
        """Its memory, borrowed at first use: texts that are still waiting need none."""
        runner = self._runner
        if self._text is None:
            self._text = runner.lend(self, "text", partial(runner.new_text, self._longest))
        return self._text


def _close(got: Tensor, true: Tensor, allowed: float) -> Tensor:
    """Whether the logits of each id are the same, but for a part of them: `[ids]`.

    NaN is like NaN.
    """
    got, true = (torch.nan_to_num(each.double()) for each in (got, true))
    spread = (true - true.mean(-1, keepdim=True)).square().sum(-1)
    return (got - true).square().sum(-1) <= allowed**2 * spread
