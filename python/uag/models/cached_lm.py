"""A model together with the ids of one generation; it owns their KV cache."""

from collections.abc import Callable, Container
from itertools import pairwise
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
)

from uag.clock import now
from uag.draft import Draft, GoesOn
from uag.errors import UnsupportedModelError
from uag.models.cache import ModelCache, RollbackCache, same_logits
from uag.models.properties import (
    cache_name,
    device_of,
    embedding_rows,
)

Choose = Callable[[Tensor], Tensor]


def id_list(ids: Tensor) -> list[int]:
    """A row of ids, `[ids]`, as a list; waits for the device to compute them."""
    return cast("Any", ids).tolist()


@torch.inference_mode()
def _probability(logits: Tensor, id: int) -> float:
    """The probability of one id: `[1, vocabulary]` -> a number."""
    return float(logits[0].softmax(-1, dtype=torch.float32)[id])


_together: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def reads_together(model: PreTrainedModel) -> bool:
    """Whether one pass over several ids after others gives the same logits as one pass for each.

    Some recurrent models in transformers silently start such a pass from an empty state (Mamba in
    5.23). So each model with a recurrent state is tried once.

    >>> reads_together(target)
    True
    """
    if (known := _together.get(model)) is None:
        known = _together[model] = not RollbackCache(model).recurrent or _try_together(model)
    return known


@torch.inference_mode()
def _try_together(model: PreTrainedModel) -> bool:
    """Compare the last logits of one pass over eight ids with those of two passes over four."""
    rows = embedding_rows(model)
    ids = torch.arange(1, 9, device=device_of(model))[None] % rows
    name = cache_name(model)
    call = cast("Callable[..., Any]", model)
    one, two = RollbackCache(model).past, RollbackCache(model).past
    whole = call(input_ids=ids, use_cache=True, **{name: one}).logits[0, -1]
    call(input_ids=ids[:, :4], use_cache=True, **{name: two})
    split = call(input_ids=ids[:, 4:], use_cache=True, **{name: two}).logits[0, -1]
    return same_logits(split, whole)


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
    """

    def __init__(
        self, model: PreTrainedModel, window: int | None = None, cache: ModelCache | None = None
    ) -> None:
        """Begin an empty sequence.

        Args:
            model: the model.
            window: most ids that the model sees; `None` for no limit.
            cache: an empty cache of the model to use; by default a `RollbackCache`.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be rolled back.
        """
        self.ids: list[int] = []
        self.forwards = 0
        self._device = device_of(model)
        self._window = window
        self._cache = cache or RollbackCache(model)
        self._start = 0  # the cache holds ids[_start : _start + _cache.length]
        self._one_by_one = not reads_together(model)

    def append(self, ids: list[int]) -> None:
        """Add ids to the end of the sequence."""
        self.ids += ids

    def roll_back(self, length: int) -> None:
        """Keep only the first `length` ids of the sequence."""
        del self.ids[length:]
        if length < self._start:
            self._restart(length)
        else:
            self._cache.roll_back(min(self._cache.length, length - self._start))

    def apply(self, keep: int, feed: list[int]) -> None:
        """Keep only the first `keep` ids of the sequence, then add `feed`."""
        self.roll_back(keep)
        self.append(feed)

    def logits(self, positions: int) -> Tensor:
        """The logits at the last `positions` ids: `[positions, vocabulary]`."""
        self._read_all_but(positions)
        return self._forward(self._tensor(self.ids[self._held :]), positions)

    def draft(
        self, steps: int, choose: Choose, ends: Container[int] = (), goes_on: GoesOn | None = None
    ) -> Draft:
        """Continue the sequence by up to `steps` ids, one forward pass for each.

        `choose` picks the next id: `[1, vocabulary]` -> `[1]`. The draft ends early after one of
        `ends`, or after an id for whose probability `goes_on` returns `False`. Without `goes_on`,
        ids stay on the model's device until all are drafted, so that the host waits only once.
        """
        steps = min(steps, self._window // 2) if self._window else steps
        self._read_all_but(1, room=steps)
        fed = self._tensor(self.ids[self._held :])
        # Whether to look at each id as it is drafted. On a CPU that causes no wait.
        asks = goes_on is not None or self._device.type == "cpu"
        chosen: list[Tensor] = []
        ids: list[int] = []
        confidences: list[float] = []
        times = [now()]
        for _ in range(steps):
            logits = self._forward(fed, 1)
            fed = choose(logits)
            if not asks:
                chosen.append(fed)
                continue
            ids.append(int(fed))
            if goes_on is not None:
                confidences.append(_probability(logits, ids[-1]))
            times.append(now())
            if ids[-1] in ends or not (goes_on is None or goes_on(confidences[-1])):
                break
        if chosen:
            ids = id_list(torch.cat(chosen))
            ids = ids[: next((at for at, id in enumerate(ids, 1) if id in ends), len(ids))]
            # The device only shows how long all steps took: each counts as the mean.
            times = [times[0] + (now() - times[0]) / steps * at for at in range(steps + 1)]
        self.ids += ids
        return Draft(ids, confidences, [end - start for start, end in pairwise(times)][: len(ids)])

    @property
    def width(self) -> int:
        """Number of ids in the last forward pass, padding included."""
        return self._cache.width

    @property
    def _held(self) -> int:
        return self._start + self._cache.length

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
        self._cache.roll_back(min(self._cache.length, len(self.ids) - last - self._start))
        certain = self.ids[self._held : len(self.ids) - last]
        if self._cache.should_read_first(len(certain)):
            self._forward(self._tensor(certain), 1)
        self._cache.checkpoint()

    def _restart(self, length: int) -> None:
        """Clear the cache; the next pass starts half a window before `length`."""
        self._cache.clear()
        self._start = max(0, length - self._window // 2) if self._window else 0

    def _forward(self, ids: Tensor, positions: int) -> Tensor:
        if self._one_by_one and self._cache.length and len(ids) > 1:
            return torch.cat([self._step(id, 1) for id in ids[:, None]])[-positions:]
        return self._step(ids, positions)

    def _step(self, ids: Tensor, positions: int) -> Tensor:
        self.forwards += 1
        return self._cache.forward(ids, positions)

    def _tensor(self, ids: list[int]) -> Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self._device)


def check_verifies(target: PreTrainedModel) -> None:
    """Refuse a target that cannot verify several candidates in one pass.

    Raises:
        UnsupportedModelError: for a model that reads one id at a time.
    """
    if not reads_together(target):
        raise UnsupportedModelError(
            f"{type(target).__name__} in this version of transformers reads one id at a time, "
            "so it cannot verify a draft in one pass; use it as the assistant, "
            "or without one (assistant=None)"
        )
