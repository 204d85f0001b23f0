"""A serving engine for tests."""

from collections.abc import Generator
from contextlib import contextmanager

from uag import SpeculativeDecoder
from uag.serving.engine import ServingEngine


@contextmanager
def running(decoder: SpeculativeDecoder, **places: int) -> Generator[ServingEngine]:
    """An engine that has started, and is closed in the end."""
    with ServingEngine(decoder, **places) as engine:
        yield engine
