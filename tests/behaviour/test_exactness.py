"""Sampled texts have the distribution of the target; `tests.campaigns.exactness` samples more."""

from typing import Any

import pytest
from scipy.stats import kstest

from tests.support.exactness.broken import (
    Broken,
    broken_p_value,
    colliding_keys,
    drafts_believed,
    index_ignored,
    noise_without_position,
)
from tests.support.exactness.samples import (
    BROKEN_P,
    LEAST_P,
    Source,
    decoders_of,
    differing,
    draw,
    from_decoder,
    from_table,
    generated,
    p_value,
    p_values,
    rejecting,
)
from tests.support.exactness.table import SETTINGS, Ids

SAMPLES = 300  # from each decoder, 1 to 3 milliseconds each

BROKEN_SAMPLES = 500  # enough for a decoder that is wrong

REJECTION_SAMPLES = 600

TABLE_SAMPLES = 10_000


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS.keys())
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_every_assistant_leaves_the_distribution(settings: dict[str, Any]) -> None:
    table, found = decoders_of(settings)
    together: list[Ids] = []
    shares: dict[str, float] = {}
    beside: set[str] = set()
    for seed, (name, decoder) in enumerate(found.items()):
        drawn = draw(decoder, settings, seed, SAMPLES)
        assert drawn.texts == from_table(table, decoder, seed, SAMPLES), name
        together += drawn.texts
        shares[name] = drawn.accepted / drawn.candidates
        beside |= {name} if drawn.beside else set()
    assert p_value(together, table.probabilities()) > LEAST_P
    # There were drafts of every kind.
    assert beside == {"siblings of drafts", "likeliest beside wrong drafts"}
    assert shares.pop("wrong drafts") == 0
    assert all(0.05 < share < 0.95 for share in shares.values())


def test_rejection_leaves_the_distribution(settings: dict[str, Any]) -> None:
    table, found = rejecting(settings)
    for seed, decoder in enumerate(found.values()):
        drawn = draw(decoder, settings, seed, REJECTION_SAMPLES)
        assert p_value(drawn.texts, table.probabilities()) > LEAST_P
        assert 0.1 * drawn.candidates < drawn.accepted < drawn.candidates


def test_generate_samples_the_texts_that_are_tested(settings: dict[str, Any]) -> None:
    _, found = decoders_of(settings)
    for decoder in found.values():
        texts = draw(decoder, settings, 5, 30).texts
        assert differing(texts, generated(decoder, settings, 5, 30)) == 0


def test_p_values_are_uniform(settings: dict[str, Any]) -> None:
    values = p_values(settings, range(20), TABLE_SAMPLES)
    assert kstest(values, "uniform").pvalue > LEAST_P


@pytest.mark.parametrize(
    ("broken", "source", "count"),
    [
        (noise_without_position, from_table, TABLE_SAMPLES),
        (colliding_keys, from_table, TABLE_SAMPLES),
        (index_ignored, from_decoder, BROKEN_SAMPLES),
        (drafts_believed, from_decoder, BROKEN_SAMPLES),
    ],
)
def test_the_test_notices_a_broken_variant(
    settings: dict[str, Any], broken: Broken, source: Source, count: int
) -> None:
    assert broken_p_value(broken, settings, source, 0, count) < BROKEN_P
