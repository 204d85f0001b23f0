"""A model together with the text it has read: the one owner of its cache."""

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
    """A row of ids as numbers; waits for the device that has them."""
    return cast("Any", ids).tolist()


@torch.inference_mode()
def _probability(logits: Tensor, id: int) -> float:
    """Of one id: `[1, vocabulary]` -> a number."""
    return float(logits[0].softmax(-1, dtype=torch.float32)[id])


_together: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def reads_together(model: PreTrainedModel) -> bool:
    """Whether several ids read at once, behind others, give what they give one by one.

    Some recurrent models in transformers start from an empty state instead, without a word (Mamba
    in 5.23), so those with a recurrent state are tried, once.
    """
    if (known := _together.get(model)) is None:
        known = _together[model] = not RollbackCache(model).recurrent or _try_together(model)
    return known


@torch.inference_mode()
def _try_together(model: PreTrainedModel) -> bool:
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
    """A causal model reading one text, whose end may be taken back.

    `ids` is the text. Ids are added with `append` and read by the model when logits are next asked
    for, so adding and taking back ids that were never read costs nothing. The model itself is
    never changed.

    With a `window`, the model reads at most that many ids: when the text outgrows it, the model
    starts again from the most recent half, positions counted from 0.
    """

    def __init__(
        self, model: PreTrainedModel, window: int | None = None, cache: ModelCache | None = None
    ) -> None:
        """A model that has read nothing, through `cache` if one is given.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be taken back.
        """
        self.ids: list[int] = []
        self.forwards = 0
        self._device = device_of(model)
        self._window = window
        self._cache = cache or RollbackCache(model)
        self._start = 0  # the cache holds ids[_start : _start + _cache.length]
        self._one_by_one = not reads_together(model)

    def append(self, ids: list[int]) -> None:
        """Add ids at the end of the text."""
        self.ids += ids

    def roll_back(self, length: int) -> None:
        """Keep the first `length` ids of the text."""
        del self.ids[length:]
        if length < self._start:
            self._restart(length)
        else:
            self._cache.roll_back(min(self._cache.length, length - self._start))

    def apply(self, keep: int, feed: list[int]) -> None:
        """Keep the first `keep` ids of the text and add `feed`."""
        self.roll_back(keep)
        self.append(feed)

    def logits(self, positions: int) -> Tensor:
        """Logits for what follows each of the last `positions` ids: `[positions, vocabulary]`."""
        self._read_all_but(positions)
        return self._forward(self._tensor(self.ids[self._held :]), positions)

    def draft(
        self, steps: int, choose: Choose, ends: Container[int] = (), goes_on: GoesOn | None = None
    ) -> Draft:
        """Continue the text by up to `steps` ids, each chosen from the logits of those before.

        `choose` makes `[1]` of `[1, vocabulary]`. The last id is one of `ends`, or one whose
        probability `goes_on` does not go on from. Where nobody asks about each id, they stay on
        the model's device until the end, so the host waits for it once.
        """
        steps = min(steps, self._window // 2) if self._window else steps
        self._read_all_but(1, room=steps)
        fed = self._tensor(self.ids[self._held :])
        asks = goes_on is not None or self._device.type == "cpu"  # a CPU is never waited for
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
            # What a step takes shows only when the device has done them all.
            times = [times[0] + (now() - times[0]) / steps * at for at in range(steps + 1)]
        self.ids += ids
        return Draft(ids, confidences, [end - start for start, end in pairwise(times)][: len(ids)])

    @property
    def width(self) -> int:
        """Ids of the last pass, with those that only filled it up."""
        return self._cache.width

    @property
    def _held(self) -> int:
        return self._start + self._cache.length

    def _read_all_but(self, last: int, room: int = 0) -> None:
        """Bring the cache to where the `last` ids are unread, with a way back to there."""
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
        """Forget what was read; the next reading starts half a window before `length`."""
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
            "so it cannot verify a draft at once; use it as the assistant, "
            "or without one (assistant=None)"
        )
