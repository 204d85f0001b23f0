"""Statistics add up."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted import scripted_pair
from tests.support.tokenizers import PROMPT
from uag.stats import NOTICED, PHASES, Round, Stats


def test_statistics_add_up() -> None:
    stats = scripted_pair("gpt2", "llama2").generate(PROMPT, max_new_tokens=40).stats
    assert stats.tokens == 40 == sum(len(done.tokens) for done in stats.history)
    assert stats.target_forwards == stats.rounds
    assert stats.tokens_per_forward == 40 / stats.rounds
    assert stats.accepted <= stats.candidates and stats.drafted > 0
    assert all(done.drafted_accepted <= done.drafted for done in stats.history)
    assert stats.seconds["prefill"] > 0 and stats.seconds["verify"] > 0


rounds = st.lists(
    st.builds(
        Round,
        tokens=st.lists(st.integers(0, 9), min_size=1, max_size=4),
        accepted=st.integers(0, 3),
        drafted=st.integers(0, 5),
        drafted_accepted=st.integers(0, 5),
        candidates=st.integers(0, 5),
        looked_up=st.integers(0, 5),
        # No clock tells less than a nanosecond.
        seconds=st.dictionaries(st.sampled_from(PHASES), st.just(0.0) | st.floats(1e-9, 9)),
    ).filter(lambda done: done.drafted_accepted <= done.drafted and done.looked_up <= done.drafted),
    max_size=5,
)


@given(rounds)
def test_totals_are_sums_over_rounds(history: list[Round]) -> None:
    stats = Stats(history=history, target_forwards=len(history))
    described = stats.as_dict()
    assert stats.token_ids == [id for done in history for id in done.tokens]
    assert described["tokens"] == len(stats.token_ids)
    for name in ("drafted", "candidates", "accepted", "looked_up", "looked_up_accepted"):
        assert described[name] == sum(getattr(done, name) for done in history)
    for phase, spent in stats.seconds.items():
        assert spent == pytest.approx(sum(done.seconds.get(phase, 0) for done in history))
    assert stats.seconds_total == pytest.approx(sum(stats.seconds.values()))
    assert stats.tokens_per_second * stats.seconds_total == pytest.approx(
        stats.tokens if stats.seconds_total else 0
    )
    assert (stats.acceptance is None) == (stats.drafted == 0)
    assert stats.acceptance is None or 0 <= stats.acceptance <= 1
    assert repr(stats).count("\n") == 0
    assert json.loads(json.dumps(described)) == described
    for done in history:
        assert 0 <= done.looked_up_accepted <= done.looked_up
        assert 0 <= done.judged <= done.drafted


def test_a_round_is_a_value_that_needs_no_torch_and_no_scheduler() -> None:
    work = "import sys, uag.stats, uag.draft, uag.clock, uag.lookahead.protocol, uag.lookahead.auto"
    check = f"{work}; sys.exit(bool({{'torch', 'transformers', 'greenlet'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def stats_of(tokens: int, *, drafted: int, looked_up: int = 0, good: int = 0, **more: Any) -> Stats:
    done = Round(
        [5] * tokens, accepted=good, drafted=drafted, drafted_accepted=good, candidates=drafted,
        looked_up=looked_up, seconds={},
    )  # fmt: skip
    return Stats(history=[done], **{"engines": {"target": "eager", "assistant": "eager"}} | more)


def both(first: Stats, second: Stats) -> Stats:
    return Stats(history=[*first.history, *second.history], engines=first.engines)


@pytest.mark.parametrize(
    ("stats", "hint"),
    [
        (stats_of(NOTICED, drafted=0), "the assistant drafted nothing: by what was measured"),
        (stats_of(NOTICED, drafted=9, looked_up=9, good=9), "the assistant drafted nothing"),
        (stats_of(NOTICED, drafted=9), "no draft of the assistant was accepted"),
        (
            both(stats_of(NOTICED, drafted=9), stats_of(5, drafted=5, looked_up=5, good=5)),
            "no draft",
        ),
    ],
)
def test_an_assistant_of_no_use_is_a_hint(stats: Stats, hint: str) -> None:
    (said,) = stats.hints
    assert said.startswith(hint)
    assert stats.as_dict()["hints"] == [said]


@pytest.mark.parametrize(
    "stats",
    [
        stats_of(NOTICED - 1, drafted=9),
        stats_of(NOTICED, drafted=9, good=1),
        stats_of(NOTICED, drafted=9, looked_up=5, good=4),
        stats_of(NOTICED, drafted=0, engines={"target": "eager"}),
        stats_of(NOTICED, drafted=0, assistant_error="it failed"),
    ],
)
def test_no_hint_where_it_was_of_use_or_nobody_knows_yet(stats: Stats) -> None:
    assert stats.hints == []
