"""The text for a seed is the same, whoever drafts; `tests.campaigns.invariance` has more."""

import pytest

from tests.campaigns.invariance import LOOKAHEADS, TREES, Case, cases, compare, load_decoders
from tests.support.stories import MODELS, OPENINGS
from uag.demo import demo_decoder


def test_the_demo_pair_samples_what_its_target_samples() -> None:
    decoder = demo_decoder(lookahead=5)
    options = {"temperature": 0.8, "top_k": 0, "top_p": 0.95, "max_new_tokens": 16}
    texts = [Case(prompt, seed, options) for seed, prompt in enumerate(OPENINGS[1:])]
    result = compare({"demo": decoder}, texts, len(LOOKAHEADS))
    assert not [difference for difference in result.differences if not difference.tie]
    assert 0 < result.counts["demo"]["accepted"] < result.counts["demo"]["candidates"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trained_assistants_leave_the_text(dtype: str) -> None:
    if not MODELS.is_dir():
        pytest.skip(f"no {MODELS}")
    result = compare(load_decoders(dtype), cases(0, 6, 12), 1)
    assert not [difference for difference in result.differences if not difference.tie]
    assert all(counts["accepted"] for counts in result.counts.values())
    beside = {name: counts["beside"] for name, counts in result.counts.items()}
    assert {name.endswith(TREES) for name, count in beside.items() if count} == {True}
    assert dtype == "float32" or not result.differences
