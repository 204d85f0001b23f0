"""Runs a model eagerly: the engine that every model can have, and what the others are told by."""

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from transformers import PreTrainedModel

from uag.clock import stopped
from uag.models.caches.protocol import ModelCache
from uag.models.check.way import new_cache


class ModelRunner:
    """Runs one model with an engine; this one runs it eagerly.

    >>> str(ModelRunner(target)), type(ModelRunner(target).new_cache()).__name__
    ('eager', 'RollbackCache')

    Attributes:
        model: the model itself.
        engine: the name of the engine while nothing prevents it.
        reason: why the model runs eagerly though another engine was asked for; else empty.
        seconds: seconds spent compiling or capturing so far.
    """

    engine = "eager"

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.reason = ""
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"eager: {self.reason}" if self.reason else self.engine

    @contextmanager
    def setting_up(self) -> Generator[None]:
        """Count what is done inside the `with` block as `seconds`, and not as part of a round."""
        start = perf_counter()
        try:
            with stopped():
                yield
        finally:
            self.seconds += perf_counter() - start

    def new_cache(self, longest: int = 0) -> ModelCache:
        """A cache for one generation, of about `longest` ids if that is known.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be rolled back.
        """
        del longest
        return new_cache(self.model)
