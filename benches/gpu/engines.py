"""The ways to decode that are compared, by name; what a version lacks is skipped by its name."""

import copy
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from benches.common import transformers_ids
from uag import SpeculativeDecoder
from uag.models.cached_lm import CachedLM

# What a decoder is given for each engine.
ENGINES: dict[str, dict[str, Any]] = {
    "eager": {},
    "graphs": {"engine": "graphs"},
    "compile": {},  # `compile=` is given by who asks for it
}


class SkippedError(Exception):
    """This version has no such engine or option."""


def decoder(
    engine: str, target: PreTrainedModel, tokenizer: Any, *assistant: Any, **options: Any
) -> SpeculativeDecoder:
    """A decoder with an engine.

    Raises:
        SkippedError: if this version has no such engine or option, naming it.
    """
    asked = ENGINES[engine]
    known = inspect.signature(SpeculativeDecoder).parameters
    if "engine" in known and engine == "eager":
        asked = {"engine": "eager"}
    if lacking := [name for name in (*asked, *options) if name not in known]:
        raise SkippedError(f"this version has no option {lacking[0]!r} (engine {engine!r})")
    return SpeculativeDecoder(target, tokenizer, *assistant, **asked, **options)


def reader(made: SpeculativeDecoder, role: str = "target") -> CachedLM:
    """An empty text of a decoder's model, read by its engine."""
    runner = made._engine.runners[role]
    return CachedLM(runner.model, cache=runner.new_cache())


def chooser(lm: CachedLM) -> Callable[[int], object]:
    """Choosing the likeliest ids at the last positions, as verification does."""
    if (chosen := cast("Any", getattr(lm, "chosen", None))) is not None:
        return chosen
    return lambda positions: lm.logits(positions).float().argmax(-1).tolist()


def generate_ids(model: PreTrainedModel, ids: list[int], tokens: int, **options: Any) -> list[int]:
    """What `model.generate` gives greedily, or as `options` say."""
    return transformers_ids(model, ids, **{"do_sample": False, "max_new_tokens": tokens} | options)


def stand_in(assistant: PreTrainedModel) -> PreTrainedModel:
    """A copy that shares weights: transformers changes what it is given, and keeps it alive."""
    tensors = [*assistant.parameters(), *assistant.buffers()]
    return copy.deepcopy(assistant, {id(tensor): tensor for tensor in tensors})


@contextmanager
def without_cudnn() -> Generator[None]:
    """Keep cuDNN's attention out: the part "card" says whether it is ever taken."""
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(enabled=True)
