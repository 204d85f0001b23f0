"""What the run for a GPU computes of what it measured, and how it writes it down."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.gpu.record import Record, lines_of
from benches.gpu.summary import at_width, criteria, of_bound, summarise
from benches.gpu.texts import Decoded, best_of, speed, totals, turn, until
from benches.gpu.timeline import Kernel, by_name, graphs_of, sums
from uag.stats import Round, Stats

TABLE: dict[str, Any] = {"1": {"wall_ms": 8.0}, "4": {"wall_ms": 11.0}, "8": {"wall_ms": 12.0}}


def test_a_line_keeps_its_own_name_beside_a_value_of_that_name(tmp_path: Path) -> None:
    record = Record(tmp_path, "card")
    record.attempt("device", lambda: {"name": "H200", "part": 1, "at": 2, "self": 3})
    (line,) = lines_of(tmp_path)
    assert (line["part"], line["name"]) == ("card", "device")
    assert (line["name_"], line["part_"], line["at_"], line["self"]) == ("H200", 1, 2, 3)


@pytest.mark.parametrize("wrong", [{1: 2}, None, {"value": {(1, 2): object()}}])
def test_what_cannot_be_written_loses_only_its_line(wrong: Any, tmp_path: Path) -> None:
    record = Record(tmp_path, "card")
    record.attempt("wrong", lambda: wrong)
    record.attempt("right", lambda: {"value": 1})
    assert [line["name"] for line in lines_of(tmp_path)] == ["wrong", "right"]


def test_nothing_is_begun_after_the_time_of_a_part(tmp_path: Path) -> None:
    record = Record(tmp_path, "card", limit=-1)
    assert record.attempt("late", lambda: pytest.fail("was begun")) is None
    (line,) = lines_of(tmp_path)
    assert "left_out" in line


@given(st.floats(0, 5), st.integers(1, 4), st.floats(0.1, 3))
def test_each_text_is_decoded_as_often_and_none_begins_a_turn_after_the_time(
    seconds: float, texts: int, each: float
) -> None:
    done = list(until(seconds, lambda place: Decoded(place, 1, each, []), texts))
    assert [text.place for text in done] == [at % texts for at in range(len(done))]
    assert done and len(done) % texts == 0
    assert sum(text.seconds for text in done) >= seconds
    assert len(done) == texts or sum(text.seconds for text in done[:-texts]) < seconds


@given(st.lists(st.integers(0, 3)))
def test_a_turn_has_each_text_once(places: list[int]) -> None:
    texts = [Decoded(place, at, 1.0, []) for at, place in enumerate(places)]
    for number in (1, 2):
        found = turn(number, texts)
        wanted = {place for place in places if places.count(place) >= number}
        assert sorted(text.place for text in found) == sorted(wanted)
        for text in found:
            assert places[: text.tokens + 1].count(text.place) == number


def done(width: int, **more: Any) -> Round:
    return Round([1, 2], accepted=1, drafted=3, drafted_accepted=1, candidates=3, seconds={},
                 width=width, **more)  # fmt: skip


def test_tokens_a_second_are_without_captures_and_counts_are_of_all_texts() -> None:
    stats = Stats(history=[done(50), done(4, looked_up=2)], target_forwards=2, compile_seconds=1.0)
    text = Decoded(0, 4, 3.0, [stats])
    assert (speed([text]), speed([text], warm=True), speed([])) == (4 / 3, 2.0, None)
    found = totals([stats, stats])
    assert (found["rounds"], found["forwards"], found["by_assistant"]) == (4, 4, 8)
    assert found["passes"] == {4: 2}  # not those over prompts
    assert totals([]) == {}


def test_the_best_way_is_the_one_with_most_tokens_a_second() -> None:
    found = {"uag graphs, 2": {"tokens_per_second": 3.0}, "uag graphs, 8": {"skipped": "none"}}
    assert best_of(found) == "uag graphs, 2"
    assert best_of({}) == "uag graphs, 5"


@given(st.integers(1, 64))
def test_a_width_costs_something_between_its_neighbours(width: int) -> None:
    known = {int(each): line["wall_ms"] for each, line in TABLE.items()}
    low = max(each for each in known if each <= width)
    high = min((each for each in known if each >= width), default=8)
    assert known[low] <= at_width(TABLE, width) <= known[high]
    assert width not in known or at_width(TABLE, width) == known[width]


def lines_with(**texts: Any) -> dict[str, dict[str, Any]]:
    return {
        "passes": {
            "8B: graphs, after 1900 ids": {"error": "no memory"},
            "8B: graphs, after 150 ids": {"widths": TABLE},
            "70M: graphs, after 150 ids": {"widths": TABLE, "step_ms": 1.0},
        },
        "texts": {name.replace("_", " "): line for name, line in texts.items()},
    }


def test_passes_alone_take_all_of_the_bound() -> None:
    counts = {"passes": {"1": 10, "4": 100}, "by_assistant": 300, "prefill_s": 0.5}
    busy = (10 * 8.0 + 100 * 11.0 + 300 * 1.0) / 1e3
    mine = counts | {"seconds": busy + 0.5 + 2.0, "setting_up_s": 2.0}
    assert of_bound(lines_with(), "8B", "70M", mine) == pytest.approx(1.0)
    assert of_bound(lines_with(), "8B", "500M", mine) is None
    assert of_bound({}, "8B", "70M", mine) is None
    alone = mine | {"by_assistant": 0, "seconds": 2 * (busy - 0.3) + 0.5 + 2.0}
    assert of_bound(lines_with(), "8B", "500M", alone) == pytest.approx(0.5)


def test_criteria_are_met_missed_or_not_measured() -> None:
    lines = lines_with()
    lines["texts"] = {
        "8B: plain, before": {"tokens_per_second": 100.0},
        "8B: plain, after": {"tokens_per_second": 120.0},
        "8B: assistant always wrong": {"tokens_per_second": 109.0},
        "8B: assistant as large as the target": {"tokens_per_second": 99.0},
        "8B <- 70M: uag graphs, plain": {"tokens_per_second": 100.0},
        "8B <- 70M: uag graphs": {"tokens_per_second": 251.0},
        "8B <- 500M: uag graphs": {"tokens_per_second": 149.0},
    }
    lines["first"] = {"generate": {"first_token_s": 1.0}, "graphs": {"first_token_s": 2.0}}
    lines["ids"] = {
        "1B <- 70M, float32: graphs, greedy": {"texts": 3, "same": 2, "ties": 1},
        "8B <- 70M, bfloat16: graphs, greedy": {"texts": 3, "same": 2, "ties": 1},
    }
    found = {criterion.name: criterion.met for criterion in criteria(lines)}
    expected = {
        "1: 8B, plain by graphs, share of the copy bandwidth": None,
        "2: 8B <- 70M, times plain by graphs": True,
        "2: 8B <- 70M, times generate": None,
        "2: 8B <- 500M, times plain by graphs": False,
        "3: seconds to the first token beyond generate's": True,
        "4: assistant always wrong, times plain by graphs": True,
        "4: assistant as large as the target, times plain by graphs": False,
        "5: same ids, 1B <- 70M, float32: graphs, greedy (1 ties)": False,
        "5: same ids, 8B <- 70M, bfloat16: graphs, greedy (1 ties)": True,
    }
    assert expected.items() <= found.items()


def test_a_run_without_any_results_has_a_summary(tmp_path: Path) -> None:
    summarise(tmp_path, ["8B"], ["70M"])
    lines = lines_of(tmp_path)
    assert lines and all(line["met"] is None for line in lines)
    assert json.dumps(lines)


def test_kernels_are_told_by_launch_and_name() -> None:
    kernels = [
        Kernel("copy", 0, 1, 7),
        Kernel("void at::native::add<float>", 10, 12, 8),
        Kernel("gemm", 13, 18, 8),
        Kernel("void at::native::add<float>", 15, 17, 8),  # beside the other
        Kernel("gemm", 20, 21, 8),
        Kernel("gemm", 30, 33, 9),
        Kernel("gemm", 33, 34, 9),
    ]
    first, second = graphs_of(kernels)
    assert (len(first), len(second)) == (4, 2)
    assert sums(first) == {"kernels": 4, "kernel_us": 10, "gap_us": 3, "span_us": 11}
    assert sums([]) == {"kernels": 0}
    assert by_name([*first, *second], 2) == {"gemm": "2 x, 5.0 us", "add<float>": "1 x, 2.0 us"}
