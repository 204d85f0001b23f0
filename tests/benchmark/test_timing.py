"""A comparison while it is being made."""

from collections.abc import Iterator
from contextlib import closing
from contextvars import copy_context
from itertools import count

import pytest

import uag
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag.benchmark.timing import Timing
from uag.clock import set_clock

PROMPTS = [PROMPT, "The dog"]


def timing(runs: int = 2) -> Timing:
    name = tokenizer("gpt2")
    decoder = uag.SpeculativeDecoder(random_model("llama", name), name)
    return Timing(decoder, PROMPTS, runs=runs, max_new_tokens=4)


def made(timing: Timing, number: int) -> Timing:
    """The timing after this many runs."""
    with closing(timing.runs()) as runs:
        for _ in range(number):
            next(runs)
    return timing


@pytest.mark.parametrize(
    ("number", "plain", "ours"),
    [(0, [], []), (2, [], []), (3, [1], []), (4, [1], [1]), (5, [2], [1]), (7, [2, 1], [2])],
)
def test_what_was_run_is_there_at_any_time(number: int, plain: list[int], ours: list[int]) -> None:
    found = made(timing(), number).result()
    assert [[len(runs) for runs in method.runs] for method in found.methods] == [plain, ours]
    assert found.interrupted == (number, 10) and found.identical
    described = found.as_dict()
    assert not described["complete"]
    assert ["error" in method for method in described["methods"]] == [not plain, not ours]
    assert found.speedups(found.methods[0]) == [1.0] * len(plain)
    assert len(found.speedups(found.methods[1])) == len(ours)


def test_all_runs_are_a_complete_comparison() -> None:
    found = made(timing(), 10).result()
    assert found.interrupted is None and found.as_dict()["complete"]


def test_time_is_estimated_by_the_runs_so_far() -> None:
    ticks: Iterator[int] = count()

    def estimates() -> list[float | None]:
        set_clock(lambda: float(next(ticks)))
        here = timing(runs=1)
        # A run reads the clock at its beginning and at its end only, if it is plain decoding.
        here._methods[1].decode = here._methods[0].decode
        return [here.seconds_left() for _ in here.runs()]

    # Six runs of a second each, known once both methods have run.
    assert copy_context().run(estimates) == [None, 4, 3, 2, 1, 0]


def test_the_first_run_is_beside_the_others() -> None:
    found = made(timing(), 10).result()
    for method in found.methods:
        first = found.first_speedup(method)
        assert method.first is not None and first is not None
        assert method.first.token_ids == method.runs[0][0].token_ids
    assert made(timing(), 2).result().first_speedup(found.methods[0]) is None
