"""The assistant's KV caches of rows that come back from call to call, within a budget of bytes."""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor
from transformers import PreTrainedModel

from uag.batching.batch_cache import Batch, RowCache, id_bytes, reads_rows
from uag.batching.prefixes import Prefixes
from uag.batching.row_graphs import RowGraphs
from uag.batching.rows import room_for
from uag.batching.scheduler import PassRequest
from uag.models.caches.protocol import Keepable, ModelCache
from uag.models.engines.graphs import GraphRunner
from uag.models.engines.runner import ModelRunner


class Caches:
    """Caches of an assistant for rows that come and go; this one is for lookups, which have none.

    Attributes:
        budget: most bytes of all caches.
        batches: what shares passes.
        read_ids: how many ids of prompts were read in shared passes so far.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.batches: Sequence[Batch] = ()
        self.read_ids = 0

    def new(self) -> ModelCache:
        """An empty cache."""
        raise NotImplementedError

    def release(self, cache: ModelCache) -> None:
        """Empty a cache: its row goes on from what is kept of the text, or reads it again."""
        cache.clear()

    def admitted(self, caches: Sequence[ModelCache], longest: int) -> int:
        """How many of the caches in use, the first ones, fit with up to `longest` ids each.

        The others are released.
        """
        del longest
        return len(caches)

    def tidy(self) -> None:
        """Forget what has no room beside the caches in use."""


class OwnCaches(Caches):
    """A cache of its own for each row, for a model that reads one text at a time."""

    def __init__(self, runner: ModelRunner, budget: int) -> None:
        super().__init__(budget)
        self._runner = runner

    def new(self) -> ModelCache:
        return self._runner.new_cache()

    def admitted(self, caches: Sequence[ModelCache], longest: int) -> int:
        del longest
        sizes = [each.held_bytes() if isinstance(each, Keepable) else 0 for each in caches]
        fit = sum(size <= self.budget for size in accumulate(sizes))
        for cache in caches[fit:]:
            self.release(cache)
        return fit


class SharedCaches(Caches):
    """Rows of one batch, which share passes and take over common beginnings from each other."""

    def __init__(self, runner: ModelRunner, budget: int) -> None:
        super().__init__(budget)
        self._runner = runner
        self._released = Prefixes(budget)
        self._slots = budget // max(1, id_bytes(runner.model))
        graphs = None
        if isinstance(runner, GraphRunner):
            graphs = RowGraphs(runner, rows=self._slots, longest=self._slots)
        self._batch = LastingRows(runner.model, self, self._released, graphs)
        self._batch.permit(self._slots)
        self.batches = [self._batch]

    def new(self) -> RowCache:
        self._runner.look()
        return RowCache(self._batch)

    def release(self, cache: ModelCache) -> None:
        if isinstance(cache, RowCache):
            self._batch.release(cache)
        cache.clear()

    def admitted(self, caches: Sequence[ModelCache], longest: int) -> int:
        if self._batch.slots_with(len(caches), longest) <= self._slots:
            return len(caches)
        for cache in caches:  # buffers get smaller only when nobody has a place in them
            self.release(cache)
        fit = (
            n for n in range(len(caches), 0, -1) if self._batch.slots_for(n, longest) <= self._slots
        )
        return next(fit, 0)

    def tidy(self) -> None:
        self._released.budget = max(0, self.budget - self._batch.bytes)
        self._released.shrink(self._released.budget)


class LastingRows(Batch):
    """A `Batch` whose rows outlive the tasks that read them."""

    def __init__(
        self, model: PreTrainedModel, counted: Caches, released: Prefixes, graphs: RowGraphs | None
    ) -> None:
        """An empty batch, which counts the ids of prompts that it reads."""
        self._counted = counted
        super().__init__(model, prefixes=released, graphs=graphs)

    def slots_with(self, rows: int, longest: int) -> int:
        """How many slots the buffers get for so many rows of up to so many ids, as they are now."""
        if self._graphs is not None:
            return self.slots_for(rows, longest)
        held = self._buffers
        return max(rows, held.rows) * max(room_for(longest), held.size)

    def leave(self, row: RowCache) -> None:
        """Do nothing: a task has ended, and its row goes on in the next call."""

    def release(self, row: RowCache) -> None:
        """Free the place of a row."""
        super().leave(row)

    def forward(self, requests: Sequence[PassRequest]) -> list[Tensor]:
        """See `Batch.forward`."""
        self._counted.read_ids += sum(len(each.ids) for each in requests if each.reads_prompt)
        return super().forward(requests)


def caches_for(runner: ModelRunner, budget: int) -> Caches:
    """The caches of an assistant: shared ones, if it reads several texts in one pass."""
    if reads_rows(runner.model):
        return SharedCaches(runner, budget)
    return OwnCaches(runner, budget)
