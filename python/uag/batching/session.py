"""Texts that a decoder's models read together, as far as each model can."""

from collections.abc import Mapping, Sequence
from functools import partial

from uag.batching.batch_cache import Batch, RowCache, reads_rows
from uag.batching.scheduler import together
from uag.decoding.output import Output, TextStream
from uag.drafting.fallback import Faults
from uag.lookahead.protocol import Lookahead
from uag.lookahead.schedules import lookahead_from
from uag.lookahead.shared import InStep, OfOne
from uag.models.cache import ModelCache
from uag.models.compiled import Engine
from uag.models.properties import is_sharded

TARGET, ASSISTANT = "target", "assistant"


class Batches:
    """The caches and lookaheads of several texts, and the texts on their way.

    A target that can't read several texts at once reads one after the other; an assistant that
    can't reads each by itself, and the target all of them.
    """

    def __init__(
        self, engines: Mapping[str, Engine], lookahead: int | str | Lookahead, size: int
    ) -> None:
        """For `size` texts at a time, of which one alone is no batch."""
        # Processes that share a model meet in every pass: one can't go on by itself.
        self.faults = Faults(raised=any(is_sharded(each.model) for each in engines.values()))
        self._engines = engines
        self._lookahead = lookahead
        self._shared = None if isinstance(lookahead, int | str) else InStep(lookahead, self._rows)
        self._unfinished = 0
        self._batches: dict[str, Batch] = {}
        self._size = 1
        if size > 1 and reads_rows(engines[TARGET].model):
            self._size = size
            # In this order drafts are completed before they are verified.
            self._batches = {
                role: Batch(engines[role].model)
                for role in (ASSISTANT, TARGET)
                if role in engines and reads_rows(engines[role].model)
            }

    def new_cache(self, role: str) -> ModelCache:
        """A cache of one of the models for a text."""
        if role in self._batches:
            return RowCache(self._batches[role])
        return self._engines[role].new_cache()

    @property
    def engines(self) -> dict[str, str]:
        """How each model runs."""
        return {
            role: str(engine)
            if role not in self._batches or engine.reason
            else "eager: several texts at once are not compiled"
            for role, engine in self._engines.items()
        }

    def new_lookahead(self) -> Lookahead:
        """The lookahead of a text."""
        return OfOne(self._shared) if self._shared else lookahead_from(self._lookahead)

    def _rows(self) -> int:
        """How many texts are under way: those that share a pass of the target."""
        return max(1, min(self._size, self._unfinished))

    def finish(self, texts: Sequence[TextStream]) -> list[Output]:
        """All of them."""
        self._unfinished = len(texts)

        def finish(text: TextStream) -> Output:
            output = text.finish()
            self._unfinished -= 1
            return output

        tasks = [partial(finish, text) for text in texts]
        return together(tasks, list(self._batches.values()), self._size)
