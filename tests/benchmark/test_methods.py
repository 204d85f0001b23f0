"""A method of decoding and its runs."""

from collections.abc import Mapping
from contextvars import copy_context
from itertools import accumulate, cycle

import pytest

from uag.benchmark.methods import TimedMethod
from uag.clock import set_clock

TEXT = ("Once", [5, 6])


def decode(_: str, ids: list[int]) -> tuple[list[int], Mapping[str, float], int]:
    return ids, {}, len(ids)


def failing(_: str, __: list[int]) -> tuple[list[int], Mapping[str, float], int]:
    raise IndexError("no such id\nand more")


def test_the_warm_up_counts_until_there_is_something_better() -> None:
    method = TimedMethod("uag", decode)
    assert method.seconds_a_run() is None

    def means() -> list[float | None]:
        # The clock moves within each run: by 9 s, then by 1 s and by 2 s.
        times = accumulate(cycle([0, 9, 0, 1, 0, 2]))
        set_clock(lambda: float(next(times)))
        found: list[float | None] = []
        for repetition in ([TEXT], [TEXT, TEXT]):
            method.runs.append([])
            for text in repetition:
                method.decode_once(text)
                found.append(method.seconds_a_run())
        return found

    assert copy_context().run(means) == [9, 1, 1.5]
    done = method.result()
    assert done.first is not None and done.first.seconds == 9
    assert [[run.seconds for run in runs] for runs in done.runs] == [[1, 2]]


def test_what_may_fail_ends_with_its_error_and_takes_no_more_time() -> None:
    method = TimedMethod("transformers", failing, may_fail=True, runs=[[]])
    method.decode_once(TEXT)
    assert method.seconds_a_run() == 0
    assert method.result().error == ("IndexError", "no such id") and method.result().runs == []
    with pytest.raises(IndexError):
        TimedMethod("uag", failing, runs=[[]]).decode_once(TEXT)
