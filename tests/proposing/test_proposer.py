"""A proposer for an engine of another kind: the engine's text stays what it is."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import uag
from tests.support.engine_runner import (
    TEXTS,
    Moment,
    Propose,
    Runner,
    demo,
    expected,
    moments,
    prompt,
    requests,
)
from tests.support.models import random_model
from tests.support.recorded import RecordedGraphs
from tests.support.tokenizers import tokenizer
from uag import Lookup, OptionError, Proposer, UagWarning
from uag.models.engines.capture import CAPTURERS

LONG = prompt(len(TEXTS) - 1, 0)


def proposer(**options: Any) -> Proposer:
    options = {"lookahead": 5, "lookup": False} | options
    return Proposer(demo("target")[1], *demo("assistant"), **options)


@cache
def alone(ids: tuple[int, ...], limit: int) -> list[int]:
    return proposer().propose([ids], limit)[0]


def fresh(ids: list[int], limit: int) -> list[int]:
    """The slow, obvious reference: a proposer that has never seen a text."""
    return alone(tuple(ids), limit)


def checked(one: Proposer, *, may_skip: bool = False) -> Propose:
    """`propose`, whose answers are those of fresh proposers; or nothing, where it `may_skip`."""

    def propose(rows: list[list[int]], limits: list[int]) -> list[list[int]]:
        found = one.propose(rows, limits)
        for row, limit, candidates in zip(rows, limits, found, strict=True):
            assert (may_skip and not candidates) or candidates == fresh(row, limit)
        return found

    return propose


@contextmanager
def passes() -> Generator[list[int]]:
    """The assistant's passes in a `with` block: how many ids each reads."""
    widths: list[int] = []

    def count(_: Any, __: Any, named: dict[str, Any], ___: Any) -> None:
        widths.append(named["input_ids"].numel())

    hook = demo("assistant")[0].register_forward_hook(count, with_kwargs=True)
    try:
        yield widths
    finally:
        hook.remove()


def check_equal(runner: Runner) -> None:
    for each in runner.requests:
        assert each.output == expected(each.prompt)


@given(requests, moments)
def test_rows_that_move_are_at_their_own_text(prompts: Any, moments: list[Moment]) -> None:
    """They are preempted, restart and are equal to others; texts begin and end in characters."""
    runner = Runner(prompts)
    runner.run(checked(proposer()), moments)
    check_equal(runner)


@given(requests, moments, st.integers(1, 80), st.integers(18, 26))
def test_little_memory_and_prompts_in_pieces(
    prompts: Any, moments: list[Moment], prompt_ids: int, power: int
) -> None:
    runner = Runner(prompts)
    small = proposer(prompt_ids=prompt_ids, cache_bytes=1 << power)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UagWarning)
        runner.run(checked(small, may_skip=True), moments)
    check_equal(runner)


@given(requests, moments, st.sampled_from(["auto", 1, "heuristic"]), st.booleans())
def test_any_lookahead(
    prompts: Any, moments: list[Moment], lookahead: str | int, lookup: bool
) -> None:
    runner = Runner(prompts)
    runner.run(proposer(lookahead=lookahead, lookup=lookup).propose, moments)
    check_equal(runner)


@given(requests, moments)
@settings(max_examples=10)
def test_lookups_alone(prompts: Any, moments: list[Moment]) -> None:
    runner = Runner(prompts)
    runner.run(Proposer(demo("target")[1], Lookup(TEXTS)).propose, moments)
    check_equal(runner)


@pytest.mark.parametrize("lookahead", [5, "auto"])
def test_what_is_proposed_is_right_often(lookahead: str | int) -> None:
    runner = Runner([prompt(0, 3), prompt(1, 3), prompt(3, 0)])
    one = proposer(lookahead=lookahead)
    runner.run(one.propose)
    assert runner.tokens > 1.5 * runner.passes
    # The last acceptance of each text is not seen.
    assert one.accepted <= runner.tokens - runner.passes <= one.accepted + 15


def test_many_texts_share_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = proposer()
    rows = [list(prompt(0, cut)) for cut in range(4)]
    with passes() as widths:
        one.propose(rows, 5)
    assert len(widths) <= 2 * 5  # and not 5 for each


def test_a_text_that_comes_back_is_not_read_again() -> None:
    one = proposer()
    one.propose([LONG], 5)
    one.propose([], 5)
    with passes() as widths:
        (found,) = one.propose([[*LONG, 5]], 5)
    assert found == fresh([*LONG, 5], 5)
    assert sum(widths) < 20


def test_a_long_prompt_is_read_in_pieces_and_holds_up_nobody() -> None:
    one = proposer(prompt_ids=40)
    long, short = [*LONG, *LONG[1:] * 3], [*prompt(0, 0)]
    first = one.propose([long, short], 5)
    assert first == [[], fresh(short, 5)]
    calls = 1
    while not (found := one.propose([long, short], 5)[0]):
        calls += 1
    assert len(long) / 40 - 2 < calls < len(long) / 40 + 1
    assert found == fresh(long, 5)


def test_the_memory_stays_in_its_budget() -> None:
    budget = 1 << 20
    one: Any = proposer(cache_bytes=budget)
    with pytest.warns(UagWarning, match="cache_bytes=1048576"):
        found = one.propose([LONG] * 40, 5)
    assert found[0] and not found[-1]
    caches = one._setting.caches
    assert 0 < caches.batches[0].bytes + caches._released.bytes <= budget


def test_captured_passes_propose_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    budget = 1 << 23
    one: Any = proposer(cache_bytes=budget)
    prompts = [prompt(text, cut) for text in range(3) for cut in (0, 3)]
    Runner(prompts).run(checked(one, may_skip=True))
    assert sum(each.replays for each in RecordedGraphs.made) > 20
    caches = one._setting.caches
    assert 0 < caches.batches[0].bytes + caches._released.bytes <= budget
    RecordedGraphs.made.clear()


def test_where_nothing_is_accepted_nothing_is_drafted() -> None:
    one = proposer(lookahead="auto")
    ids, drafted = list(prompt(0, 0)), list[bool]()
    for _ in range(60):
        (found,) = one.propose([ids], 5)
        drafted.append(bool(found))
        wrong = 300 if found[:1] != [300] else 301
        ids.append(wrong)
    assert sum(drafted[-40:]) < 8
    assert any(drafted[-40:])


def test_an_error_is_one_warning_and_no_candidates() -> None:
    """The other texts go on, and so does a text that begins later."""
    assistant: Any = demo("assistant")[0]
    one = proposer()
    rows = [list(prompt(0, 0)), list(prompt(1, 0))]
    one.propose(rows, 5)

    def fails(*_: Any) -> None:
        raise RuntimeError("no memory")

    hook = assistant.register_forward_hook(fails)
    rows = [[*row, 7] for row in rows]
    with pytest.warns(UagWarning, match="drafting failed: RuntimeError: no memory") as caught:
        assert one.propose(rows, 5) == [[], []]
    hook.remove()
    assert len(caught) == 1
    rows = [[*row, 7] for row in rows]
    assert one.propose([*rows, LONG], 5) == [[], [], fresh([*LONG], 5)]


def test_ids_that_there_are_not() -> None:
    with pytest.warns(UagWarning, match="translation failed"):
        assert proposer().propose([[5, -1]], 5) == [[]]
    assert proposer().propose([[5, 2**31]], 5) is not None


def test_no_text_and_no_wish() -> None:
    one = proposer()
    assert one.propose([], 5) == []
    assert one.propose([LONG, LONG], 0) == [[], []]
    assert one.propose([[]], 5)[0] == fresh([], 5)


def test_ids_in_arrays() -> None:
    buffer = np.zeros(400, dtype=np.int32)
    buffer[: len(LONG)] = LONG
    one = proposer()
    (found,) = one.propose([buffer[: len(LONG)]], np.array([5]))  # type: ignore[list-item]
    buffer[:] = 0
    assert found == fresh([*LONG], 5)
    grown = [*LONG, *found, 9]
    assert one.propose([torch.tensor(grown)], [5])[0] == fresh(grown, 5)  # type: ignore[list-item]
    assert one.accepted == len(found)


def test_an_assistant_that_reads_one_text_at_a_time() -> None:
    """Its states are rolled back and given back like those of others."""
    words, others = tokenizer("llama2"), tokenizer("gpt2")
    model = random_model("lfm2", others)

    def one() -> Proposer:
        return Proposer(words, model, others, lookahead=4, lookup=False)

    kept = one()
    texts: list[list[int]] = [words(text)["input_ids"] for text in ("Once upon", "One 漢字")]
    for number in range(6):
        given = texts if number % 3 else texts[:1]
        found = kept.propose(given, 3)
        assert found == [one().propose([text], 3)[0] for text in given]
        for text, candidates in zip(texts, found, strict=False):
            text += [*candidates[: number % 3], 9 + number]


def test_only_ids_that_the_target_has() -> None:
    ids = list(LONG)
    found = fresh(ids, 5)
    limit = max(found)
    (least,) = proposer(vocabulary=limit).propose([ids], 5)
    assert least == found[: found.index(limit)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lookahead": 0}, "lookahead is 0"),
        ({"draft_cost": 0}, "draft_cost is 0"),
        ({"cache_bytes": 0}, "cache_bytes is 0"),
        ({"prompt_ids": -1}, "prompt_ids is -1"),
        ({"vocabulary": 0}, "vocabulary is 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        proposer(**options)


def test_what_are_no_rows_or_limits() -> None:
    one: Any = proposer()
    with pytest.raises(OptionError, match="row 1 is 'text'"):
        one.propose([[5], "text"], 5)
    with pytest.raises(OptionError, match="row 0 is"):
        one.propose([[[5]]], 5)
    with pytest.raises(OptionError, match=r"limits is \[5\].* 2 rows"):
        one.propose([[5], [6]], [5])
    with pytest.raises(OptionError, match="limits is -1"):
        one.propose([[5]], -1)
    with pytest.raises(OptionError, match="nothing drafts"):
        uag.Proposer(demo("target")[1])
