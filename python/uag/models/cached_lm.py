"""A model together with the ids of one generation; it owns their KV cache."""

import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.clock import now
from uag.draft import Draft, DraftTree, GoesOn, Scored
from uag.models.caches.protocol import (
    Choose,
    Copied,
    Keepable,
    ModelCache,
    ReadingAhead,
    Rolled,
    SelfFeeding,
    StaticChoose,
    TreeReading,
    pieces_of,
)
from uag.models.caches.rollback import RollbackCache
from uag.models.caches.tree import Tree
from uag.models.properties import device_of
from uag.models.reading import reading_of

# If a draft first reads more ids than this, that does not show what a step costs.
CATCHES_UP = 8


class Score(Protocol):
    """Finds other ids at the places of drafted ones."""

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """What there is to tell of the drafted ids, on their device.

        `[steps, vocabulary]`, `[steps]` -> `[steps, numbers]`, of which the ids are the first.
        """
        ...

    def read(self, told: Tensor) -> list[list[Scored]]:
        """What was told, on the host, as `DraftTree.comb` takes it."""
        ...


def id_list(ids: Tensor) -> list[int]:
    """A row of ids, `[ids]`, as a list; waits for the device to compute them."""
    return cast("Any", ids).tolist()


@torch.no_grad()
def _probability(logits: Tensor, id: int) -> float:
    """The probability of one id: `[1, vocabulary]` -> a number."""
    return float(logits[0].softmax(-1, dtype=torch.float32)[id])


@dataclass(frozen=True, slots=True)
class _Begun:
    """A draft that was begun before it is asked for.

    Attributes:
        copied: its ids, on their way to the host.
        last: the logits that the last of them was chosen from.
        length: how many ids the cache holds with all that was read.
        forwards: how many passes there were.
        since: when it began.
        rolled: those of its ids that were chosen without the host, if any.
    """

    copied: Copied
    last: Tensor
    length: int
    forwards: int
    since: float
    rolled: Rolled | None


def _ended(ids: list[int], ends: Container[int]) -> list[int]:
    """The ids up to the first one of `ends`."""
    return ids[: next((at for at, id in enumerate(ids, 1) if id in ends), len(ids))]


def _spread(times: list[float], end: float) -> list[float]:
    """The same when each step also takes its share of what came after the last one.

    >>> _spread([1.0, 2.0, 3.0], 5.0)
    [1.0, 3.0, 5.0]
    """
    rest = (end - times[-1]) / max(1, len(times) - 1)
    return [time + rest * at for at, time in enumerate(times)]


def _evenly(begin: float, end: float, steps: int, each: float | None) -> list[float]:
    """When each step ended, if all but the first took the same; `each` so long, if it is known.

    >>> _evenly(0.0, 6.0, 4, None), _evenly(0.0, 6.0, 4, 1.0)
    ([1.5, 3.0, 4.5, 6.0], [3.0, 4.0, 5.0, 6.0])
    """
    mean = (end - begin) / max(1, steps)
    each = mean if each is None else min(each, mean)
    return [end - each * left for left in range(steps - 1, -1, -1)]


class CachedLM:
    """A causal model and one sequence of ids, whose end can be rolled back.

    `append` adds ids to `ids`; the model reads them when logits are next needed. So ids that are
    rolled back before that cost nothing. The model itself is never changed.

    With a `window`, the model sees at most that many ids. When the sequence outgrows the window,
    the cache is cleared and the model reads the most recent half of a window again, with positions
    from 0.

    >>> lm = CachedLM(target)
    >>> lm.append([5, 6, 7])
    >>> lm.logits(positions=2).shape == (2, target.config.vocab_size)
    True
    >>> lm.apply(keep=1, feed=[8])
    >>> lm.ids
    [5, 8]

    Attributes:
        ids: the sequence.
        forwards: how many passes there were.
        cache: what holds the states.
        last: the logits that the last drafted id was chosen from, `[1, vocabulary]`; only until the
            next pass.
    """

    def __init__(
        self, model: PreTrainedModel, window: int | None = None, cache: ModelCache | None = None
    ) -> None:
        """Begin an empty sequence.

        Args:
            model: the model.
            window: most ids that the model sees; `None` for no limit.
            cache: the cache to use, empty or with the beginning of the sequence; by default an
                empty `RollbackCache`.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be rolled back.
        """
        self.ids: list[int] = []
        self.forwards = 0
        self.last: Tensor | None = None
        self._device = device_of(model)
        self._window = window
        self.cache = cache or RollbackCache(model)
        self._start = 0  # the cache holds ids[_start : _start + cache.length]
        self._ids_on = "cpu" if isinstance(self.cache, SelfFeeding) else self._device
        self._regimes = reading_of(model).regimes
        self._regime = 0  # of the last pass
        feeds = isinstance(self.cache, SelfFeeding) and not self._regimes
        self._rolling = cast("SelfFeeding", self.cache) if feeds else None
        ahead = isinstance(self.cache, ReadingAhead) and not (self._regimes or window)
        self._ahead = cast("ReadingAhead", self.cache) if ahead else None
        self._keepable = self.cache if isinstance(self.cache, Keepable) else None
        if self._keepable is not None:
            self._keepable.text = self.ids
        self._prompt = 0  # number of ids in the prompt
        self._tree = Tree()  # of the last ids, until a path of it is kept
        self._begun: _Begun | None = None

    def append(self, ids: list[int]) -> None:
        """Add ids to the end of the sequence; the first ones are its prompt."""
        self._begun = None
        self._prompt = self._prompt or len(ids)
        self.ids += ids

    def roll_back(self, length: int) -> None:
        """Keep only the first `length` ids of the sequence."""
        self._begun = None
        del self.ids[length:]
        if length < self._start:
            self._restart(length)
        else:
            self.cache.roll_back(min(self.cache.length, length - self._start))

    def apply(self, keep: int, feed: list[int]) -> None:
        """Keep only the first `keep` ids of the sequence, then add `feed`."""
        self.roll_back(keep)
        self.append(feed)

    def logits(self, positions: int) -> Tensor:
        """The logits at the last `positions` ids: `[positions, vocabulary]`."""
        self._read_all_but(positions)
        return self._forward(self._tensor(self.ids[self._held :]), positions)

    def tree_logits(self, parents: Sequence[int]) -> Tensor:
        """The logits at the last id before a tree, and at its nodes, which are the last ids.

        A tree with branches is for models and caches that read them (see `trees_fault`). Call
        `keep_path` next. Any other tree is a chain, and is read as `logits` reads it.

        >>> lm = CachedLM(target)
        >>> lm.append([5, 6, 7, 8, 9])
        >>> lm.tree_logits([-1, 0, -1]).shape == (4, target.config.vocab_size)  # 7, its 8; or 9
        True
        >>> lm.keep_path([2])
        >>> lm.ids
        [5, 6, 9]

        Args:
            parents: for each node the index of the one that it follows, or -1 for the last id
                before the tree. It stands before those that follow it.

        Raises:
            ValueError: if a node follows a later one.
        """
        tree = self._tree = Tree.of(parents)
        positions = len(tree) + 1
        if tree.is_chain:
            return self.logits(positions)
        self._read_all_but(positions)
        begin = len(self.ids) - len(tree)
        if begin - self._held <= CATCHES_UP:
            return self._forward(self._tensor(self.ids[self._held :]), positions, tree)
        # The tree's mask would have a row for each id before it.
        last = self._forward(self._tensor(self.ids[self._held : begin]), 1)
        nodes = self._forward(self._tensor(self.ids[begin:]), len(tree), tree)
        return torch.cat([last, nodes])

    def keep_path(self, path: Sequence[int]) -> None:
        """Of the tree whose logits were read last keep only some nodes, as the last ids.

        `path`: the indices of nodes, of which each follows the one before it, and the first one
        none. It costs least if they are the first ones.

        Raises:
            ValueError: if the nodes are no such path.
        """
        tree, self._tree = self._tree, Tree()
        if not tree.has_path(path):
            raise ValueError(f"{[*path]}: not a path from a beginning of {tree}")
        begin = len(self.ids) - len(tree)
        if tree.is_chain:
            self.roll_back(begin + len(path))
            return
        self.ids[begin:] = [self.ids[begin + node] for node in path]
        cast("TreeReading", self.cache).keep(path)

    def told(self, chosen: Tensor, longest: int, quiet: Callable[[], bool]) -> list[int]:
        """Ids that were chosen on the device, `[ids]`, as a list.

        If it is only one, its pass begins before the host knows it, so that the device does not
        wait: not for the last one of `longest`, which is never read, and only if it is `quiet`, so
        that nothing is read with it. That is asked only where the pass could begin.

        >>> lm = CachedLM(target)
        >>> lm.append([5, 6, 7])
        >>> chosen = lm.logits(positions=1).argmax(-1)
        >>> lm.told(chosen, longest=9, quiet=lambda: True) == [int(chosen)]
        True
        """
        length = len(self.ids)
        if (
            self._ahead is not None
            and chosen.shape[0] == 1
            and chosen.device == self._device
            and length == self._held < longest - 1
            and quiet()
            and (known := self._ahead.read_ahead(chosen)) is not None
        ):
            return [known]
        return id_list(chosen)

    def read_ahead(self) -> None:
        """Begin the pass over the last id, if it is all that is to be read next."""
        if self._ahead is not None and len(self.ids) - self._held == 1:
            self._ahead.read_ahead(self._tensor(self.ids[-1:]))

    @property
    def begins(self) -> bool:
        """Whether drafts can be begun before they are asked for."""
        return self._rolling is not None

    def begin(self, steps: int, choose: Choose) -> None:
        """Begin a draft, as `draft` will probably ask for it next.

        Where passes feed each other (see `SelfFeeding`), the device so works while the host does
        something else; anywhere else nothing happens. Until the draft is asked for, the sequence
        is as it was; if another one is, or ids are added or removed, it is as if it had not begun.
        """
        if self._rolling is None or not self.cache.length or not isinstance(choose, StaticChoose):
            return
        context, since, forwards = len(self.ids) - self._start, now(), self.forwards
        if context - self.cache.length > CATCHES_UP:
            return
        steps = self._most(steps)
        if self._window and context + steps > self._window:
            return
        self._read_all_but(1, room=steps)
        if not (held := self.cache.length):  # of a window that moved
            return
        fed = self._tensor(self.ids[self._held :])
        chosen: list[Tensor] = []
        if fed.shape[0] > 1:
            self.last = self._forward(fed, 1)
            chosen.append(fed := choose(self.last))
        rolled = self._roll(fed, steps - len(chosen), choose, 1) if steps > len(chosen) else None
        chosen += [] if rolled is None else [rolled.ids]
        if chosen and self.last is not None:
            copied = self._rolling.copied(torch.cat(chosen))
            read = self.cache.length, self.forwards - forwards
            self._begun = _Begun(copied, self.last, *read, since, rolled)
        self.cache.roll_back(held)
        self.forwards = forwards

    def draft(
        self,
        steps: int,
        choose: Choose,
        ends: Container[int] = (),
        goes_on: GoesOn | None = None,
        score: Score | None = None,
    ) -> Draft:
        """Continue the sequence by up to `steps` ids, one forward pass for each.

        `choose` picks the next id: `[1, vocabulary]` -> `[1]`. The draft ends early after one of
        `ends`, or after an id for whose probability `goes_on` returns `False`. Without `goes_on`,
        ids stay on the model's device until all are drafted, so that the host waits only once. But
        it also waits for the first step of a text, and for one that has much to read, to time it
        apart.

        With `score`, what it finds is the draft's `tree`. It comes to the host with the ids.
        """
        begun, self._begun = self._begun, None
        if begun is not None and goes_on is None and score is None:
            return self._finish(begun, steps, ends)
        steps = self._most(steps)
        begins, unread = not self.cache.length, len(self.ids) - self._held
        self._read_all_but(1, room=steps)
        fed = self._tensor(self.ids[self._held :])
        catches_up = begins or max(unread, len(fed)) > CATCHES_UP
        # Whether to look at each id as it is drafted. On a CPU that causes no wait.
        asks = goes_on is not None or (self._device.type == "cpu" and self._rolling is None)
        chosen: list[Tensor] = []
        ids: list[int] = []
        confidences: list[float] = []
        seen: list[Tensor] = []  # the logits that these were chosen from
        rolled: Rolled | None = None
        times = [now()]
        for step in range(steps):
            left, timed_apart = steps - step, catches_up and not step
            rolls = not (asks or timed_apart)
            if rolls and (rolled := self._roll(fed, left, choose, left if score else 1)):
                chosen.append(rolled.ids)
                seen.append(rolled.logits)
                break
            self.last = self._forward(fed, 1)
            fed = choose(self.last)
            chosen.append(fed)
            seen.append(self.last)
            if not asks:
                if timed_apart:
                    id_list(fed)  # waits for it
                    times.append(now())
                continue
            ids.append(int(fed))
            if goes_on is not None:
                confidences.append(_probability(self.last, ids[-1]))
            times.append(now())
            if ids[-1] in ends or not (goes_on is None or goes_on(confidences[-1])):
                break
        scored: list[list[Scored]] = []
        if chosen and score is not None:
            told = score(torch.cat(seen), torch.cat(chosen)).cpu()
            chosen, scored = [told[:, 0]], score.read(told)
            times = _spread(times, now()) if asks else times
        if chosen and not asks:
            ids = _ended(id_list(torch.cat(chosen)), ends)
            step = rolled.step if rolled else None
            times += _evenly(times[-1], now(), steps - len(times) + 1, step)
        self.ids += ids
        seconds = [end - start for start, end in pairwise(times)][: len(ids)]
        tree = DraftTree.comb(scored[: len(ids)]) if scored else None
        return Draft(ids, confidences, seconds, tree=tree)

    def _most(self, steps: int) -> int:
        """So many steps, or as many as a draft here may have."""
        if self._window:
            steps = min(steps, self._window // 2)
        # Beyond its regime, what is drafted could not be read again.
        return min(steps, self.room) if self._regimes.rereads else steps

    def _finish(self, begun: _Begun, steps: int, ends: Container[int]) -> Draft:
        """The first `steps` ids of a draft that was begun, or as many as it has."""
        waits, known = not begun.copied.is_there, begun.copied.wait()
        self.cache.length = begun.length - max(0, len(known) - steps)
        self.forwards += begun.forwards
        self.last = begun.last
        ids = _ended(known[:steps], ends)
        self.ids += ids
        step = begun.rolled.step if begun.rolled else None
        if step is None and waits:
            step = (now() - begun.since) / len(known)
        # Where the ids were there already, nobody knows when they came.
        return Draft(ids, [], [] if step is None else [step] * len(ids))

    @property
    def width(self) -> int:
        """Number of ids in the last forward pass, padding included."""
        return self.cache.width

    @property
    def _held(self) -> int:
        return self._start + self.cache.length

    def _read_all_but(self, last: int, room: int = 0) -> None:
        """Prepare the cache for a pass over the `last` ids, which may be rolled back after it.

        Earlier ids that the cache lacks are read first if it asks for that, else in the same pass.
        `room`: how many ids beyond the sequence the window must have room for.
        """
        context = len(self.ids) - self._start
        if self._window and (
            context + room > self._window or (self._start and context < self._window // 4)
        ):
            self._restart(len(self.ids))
        self.cache.roll_back(min(self.cache.length, len(self.ids) - last - self._start))
        certain = self.ids[self._held : len(self.ids) - last]
        # A prompt must not be cut for a copy where it needs a pass of its own: only a draft may.
        whole = self.cache.way.prompt_alone and not self.cache.length and not room
        if not whole and self.cache.should_read_first(len(certain)):
            self._forward(self._tensor(certain), 1)
        self.cache.checkpoint()

    def _restart(self, length: int) -> None:
        """Clear the cache; the next pass starts half a window before `length`."""
        self.cache.clear()
        self._start = max(0, length - self._window // 2) if self._window else 0
        if self._keepable is not None:
            self._keepable.text = [] if self._start else self.ids

    @property
    def taken_over(self) -> int:
        """How many ids were not read, as the states of an earlier text that begins alike served."""
        return self._keepable.taken_over if self._keepable else 0

    @property
    def room(self) -> int:
        """How many ids one pass can choose: one more than the candidates that it can read."""
        room = self._regimes.room(len(self.ids) - self._start) if self._regimes else None
        return sys.maxsize if room is None else room + 1

    def _forward(self, ids: Tensor, positions: int, tree: Tree | None = None) -> Tensor:
        """Read `ids`, in as few passes as give what `generate` would compute.

        `tree`: how the last ones follow each other; by default they are a chain.
        """
        logits: list[Tensor] = []
        for piece, wanted, left in pieces_of(ids, self._sizes(ids.shape[0]), positions):
            again = self._read_again(piece.shape[0])
            whole_prompt = not self.cache.length
            read = torch.cat([self._tensor(again).to(piece.device), piece]) if again else piece
            logits.append(self._step(read, wanted, None if left else tree))
            self._regime = self._regimes.of(self.cache.length)
            if whole_prompt and left:
                self.cache.checkpoint()  # what follows may be undone
        return logits[0] if len(logits) == 1 else torch.cat(logits)[-positions:]

    def _sizes(self, count: int) -> list[int]:
        """Sizes of the passes that read the next `count` ids."""
        length = self.cache.length
        way, regimes = self.cache.way, self._regimes
        if not way.together:
            return [1] * count if length else [count]
        if length:
            return regimes.pieces(length, count)
        # A prompt is read at once, and so is what is left of a text that outgrew its window.
        first = count if self._start else min(count, self._prompt)
        rest = regimes.pieces(first, count - first)
        if rest and not way.prompt_alone and regimes.of(first) == regimes.of(first + 1):
            return [first + rest[0], *rest[1:]]
        return [first, *rest]

    def _read_again(self, size: int) -> list[int]:
        """All ids so far, for an empty cache, if the next `size` are of a regime that wants it."""
        length = self.cache.length
        if not (self._regimes.rereads and length):
            return []
        if self._regimes.of(length + size) == self._regime:
            return []
        ids = self.ids[self._start : self._held]
        self.cache.clear()
        return ids

    def _roll(self, fed: Tensor, steps: int, choose: Choose, positions: int) -> Rolled | None:
        """The next `steps` ids after `fed`, without the host; see `SelfFeeding`.

        `None` if that is not possible, as where `fed` is more than one id.
        """
        if self._rolling is None or fed.shape[0] > 1 or not isinstance(choose, StaticChoose):
            return None
        if (rolled := self._rolling.roll(fed, steps, choose, positions)) is not None:
            self.last = rolled.logits[-1:]
            self.forwards += steps
        return rolled

    def _step(self, ids: Tensor, positions: int, tree: Tree | None) -> Tensor:
        self.forwards += 1
        if tree is not None:
            return cast("TreeReading", self.cache).read_tree(ids, tree, positions)
        return self.cache.forward(ids, positions)

    def _tensor(self, ids: list[int]) -> Tensor:
        found: Tensor = cast("Any", torch).from_numpy(np.array(ids, dtype=np.int64))
        return found if self._ids_on == "cpu" else found.to(self._ids_on)
