"""Texts that the tiny target's decoders sample, and the test of their distribution."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.stats import chisquare

from tests.support.exactness.oracle_drafts import OracleDecoder, likeliest, wrong
from tests.support.exactness.table import LENGTH, PROMPT, Ids, Table, sequence_keys
from tests.support.exactness.tiny_lm import (
    ASSISTANT_MERGES,
    ASSISTANT_PIECES,
    TARGET_MERGES,
    TARGET_PIECES,
    random_lm,
    spelling,
)
from uag import SpeculativeDecoder

# (table, decoder, seed, count) -> texts
Source = Callable[["Table", SpeculativeDecoder, int, int], list[Ids]]

LOOKAHEAD = 2

GENERATED = 300  # texts that `generate` itself draws once more

LEAST_P = 1e-4

BROKEN_P = 1e-6


def decoders_of(settings: dict[str, Any]) -> tuple[Table, dict[str, SpeculativeDecoder]]:
    """A target's table, and the target with each kind of assistant."""
    own = spelling(TARGET_PIECES, TARGET_MERGES)
    other = spelling(ASSISTANT_PIECES, ASSISTANT_MERGES)
    target, stranger = random_lm(own, seed=7), random_lm(other, seed=2)
    table = Table(target, settings)
    found: dict[str, SpeculativeDecoder] = {
        "the target itself": SpeculativeDecoder(target, own, target, own, draft_temperature=1.0),
        "random weights": SpeculativeDecoder(target, own, stranger, other),
    }
    for name, oracle in (("likeliest drafts", likeliest), ("wrong drafts", wrong)):
        decoder = found[name] = OracleDecoder(target, own, stranger, other)
        decoder.table, decoder.oracle = table, oracle
    found["siblings of drafts"] = SpeculativeDecoder(target, own, stranger, other, tree=6)
    branching = found["likeliest beside wrong drafts"] = OracleDecoder(target, own, stranger, other)
    branching.table, branching.oracle, branching.beside = table, wrong, likeliest
    for decoder in found.values():
        decoder.lookahead = LOOKAHEAD
    return table, found


def rejecting(settings: dict[str, Any]) -> tuple[Table, dict[str, SpeculativeDecoder]]:
    """As `decoders_of`, for the assistants that are models, sampling by rejection."""
    table, found = decoders_of(settings)
    models = {name: found[name] for name in ("the target itself", "random weights")}
    return table, {name: by_rejection(decoder) for name, decoder in models.items()}


def by_rejection(decoder: SpeculativeDecoder) -> SpeculativeDecoder:
    """The same models in a decoder that samples by rejection."""
    parts = decoder.model, decoder.tokenizer, decoder.assistant, decoder.assistant_tokenizer
    return SpeculativeDecoder(*parts, lookahead=LOOKAHEAD, sampling="rejection")


@dataclass
class Drawn:
    """Texts that a decoder drew.

    Attributes:
        texts: their ids.
        candidates, accepted: the share of the target's ids that drafts became, as counts.
        beside: how many of the accepted ones the drafted ids alone would not have given.
    """

    texts: list[Ids] = field(default_factory=list)
    candidates: int = 0
    accepted: int = 0
    beside: int = 0


def draw(decoder: SpeculativeDecoder, settings: dict[str, Any], seed: int, count: int) -> Drawn:
    """As `generate` with `num_return_sequences=count`, reading the options only once."""
    (request,) = decoder._requests.read([PROMPT], options(settings))
    engine = decoder._engine
    drawn = Drawn()
    for index in range(count):
        out = engine._text(request, seed, index, engine._session([request], 1)).finish()
        drawn.texts.append(tuple(out.token_ids))
        drawn.candidates += out.stats.candidates
        drawn.accepted += out.stats.accepted
        drawn.beside += sum(done.accepted_beside for done in out.stats.history)
    return drawn


def generated(
    decoder: SpeculativeDecoder, settings: dict[str, Any], seed: int, count: int
) -> list[Ids]:
    """The same texts from `generate` itself."""
    outs = decoder.generate(PROMPT, num_return_sequences=count, seed=seed, **options(settings))
    return [tuple(out.token_ids) for out in outs]


def options(settings: dict[str, Any]) -> dict[str, Any]:
    """Generation options that sample with these settings."""
    return {"do_sample": True, "max_new_tokens": LENGTH, **settings}


def p_value(texts: list[Ids], probabilities: dict[Ids, float]) -> float:
    """Of a chi-squared test; texts that are expected fewer than five times share a cell."""
    counts = Counter(texts)
    if any(probabilities.get(text, 0) == 0 for text in counts):
        return 0.0
    cells = sorted((chance * len(texts), counts[text]) for text, chance in probabilities.items())
    expected, observed = np.array(cells).T
    # At least as many as are rare, and enough for the shared cell not to be rare itself.
    shared = max(int((expected < 5).sum()), int((expected.cumsum() < 5).sum()) + 1)
    merged = [np.append(row[shared:], row[:shared].sum()) for row in (observed, expected)]
    return float(chisquare(*merged).pvalue)


def from_decoder(table: Table, decoder: SpeculativeDecoder, seed: int, count: int) -> list[Ids]:
    """Texts that the decoder draws."""
    return draw(decoder, table.settings, seed, count).texts


def from_table(table: Table, decoder: SpeculativeDecoder, seed: int, count: int) -> list[Ids]:
    """The texts that the decoder should draw, a hundred times as fast."""
    return table.draw(
        decoder._engine.sampling.target_names, torch.tensor(sequence_keys(seed, count))
    )


def p_values(settings: dict[str, Any], seeds: Iterable[int], count: int) -> list[float]:
    """Of `count` texts from the table for each seed."""
    table, found = decoders_of(settings)
    decoder = found["random weights"]
    probabilities = table.probabilities()
    return [p_value(from_table(table, decoder, seed, count), probabilities) for seed in seeds]


def differing(texts: list[Ids], others: list[Ids]) -> int:
    """How many of the texts that both have differ."""
    return sum(text != other for text, other in zip(texts, others, strict=False))
