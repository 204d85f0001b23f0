"""Samplers that are broken on purpose, which the test must notice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from tests.support.exactness.samples import Source, decoders_of, p_value
from tests.support.exactness.table import Table
from uag import SpeculativeDecoder
from uag.decoding.verify import Told, Verify, verifier
from uag.sampling.coupled import sequence_key
from uag.sampling.greedy import Pick
from uag.sampling.noise import step_keys

Broken = Callable[[SpeculativeDecoder, "Table"], AbstractContextManager[None]]


@contextmanager
def noise_without_position(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """Every step of a text sees the same noise."""

    def same(key: int, positions: Any, device: torch.device) -> Tensor:
        return step_keys(key, torch.as_tensor(positions) * 0, device)

    with patch("uag.sampling.coupled.step_keys", same), patch("uag.sampling.noise.step_keys", same):
        yield


@contextmanager
def colliding_keys(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """The two tokens likeliest to come first share their noise."""
    names = decoder._engine.sampling.target_names
    one, two = table.scores[0].topk(2).indices
    keys = names.keys.clone()
    keys[two] = keys[one]
    with patch.object(decoder._engine.sampling, "target_names", replace(names, keys=keys)):
        yield


@contextmanager
def index_ignored(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """All continuations of a prompt have the same key."""
    with patch("uag.engine.sequence_key", lambda seed, prompt, _: sequence_key(seed, prompt, 0)):
        yield


@contextmanager
def drafts_believed(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """The target accepts whatever is drafted."""

    def credulous(
        processors: LogitsProcessorList, pick: Pick, device: torch.device | None, told: Told
    ) -> Verify:
        verify = verifier(processors, pick, device, told)

        def accept(
            logits: Tensor, ids: list[int], candidates: list[int], parents: Any = None
        ) -> Iterator[int]:
            return chain(candidates, verify(logits[-1:], ids, []))

        return accept

    with patch("uag.engine.verifier", credulous):
        yield


BROKEN: list[Broken] = [noise_without_position, colliding_keys, index_ignored, drafts_believed]


def broken_p_value(
    broken: Broken, settings: dict[str, Any], source: Source, seed: int, count: int
) -> float:
    """What the test says of a broken variant, with an assistant that has little in common."""
    table, found = decoders_of(settings)
    decoder = found["random weights"]
    with broken(decoder, table):
        texts = source(table, decoder, seed, count)
    return p_value(texts, table.probabilities())
