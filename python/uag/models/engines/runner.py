"""Runs a model eagerly: the engine that every model can have, and what the others are told by."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.clock import stopped
from uag.models.caches.protocol import ModelCache
from uag.models.check.comparison import Comparison
from uag.models.check.way import new_cache
from uag.models.engines.modules import Modules
from uag.models.properties import embedding_rows

# Ids of a padded block that is tried.
BLOCK = 8


class ModelRunner:
    """Runs one model with an engine; this one runs it eagerly.

    >>> str(ModelRunner(target)), type(ModelRunner(target).new_cache()).__name__
    ('eager', 'RollbackCache')

    Attributes:
        model: the model itself.
        modules: what it is made of.
        engine: the name of the engine while nothing prevents it.
        reason: why the model runs eagerly though another engine was asked for; else empty.
        seconds: seconds spent compiling or capturing so far.
    """

    engine = "eager"

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.modules = Modules(model)
        self.reason = ""
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"eager: {self.reason}" if self.reason else self.engine

    @property
    def sets_up_apart(self) -> bool:
        """Whether what the first pass of a width sets up is no part of its seconds."""
        return self.engine != ModelRunner.engine and not self.reason

    @contextmanager
    def setting_up(self) -> Generator[None]:
        """Count what is done inside the `with` block as `seconds`, and not as part of a round."""
        start = perf_counter()
        try:
            with stopped():
                yield
        finally:
            self.seconds += perf_counter() - start

    def look(self) -> None:
        """See before a text whether anything of the model has changed that matters here."""

    def new_cache(self, longest: int = 0) -> ModelCache:
        """A cache for one generation, of about `longest` ids if that is known.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be rolled back.
        """
        del longest
        return new_cache(self.model)

    @torch.no_grad()
    def reads_blocks(self, read: Callable[[Tensor, int], Tensor]) -> bool:
        """Whether padded blocks give the logits of their ids without padding.

        `read`: reads ids in a block of `BLOCK` after so many others, and gives their logits.
        """
        ids = torch.arange(1, BLOCK + BLOCK // 2 + 1, device=self.model.device)
        ids = ids % embedding_rows(self.model)
        rows = [read(piece, place) for place, piece in ((0, ids[:BLOCK]), (BLOCK, ids[BLOCK:]))]
        true = new_cache(self.model).forward(ids, len(ids))
        return Comparison(self.model.dtype).logits(torch.cat(rows), true)
