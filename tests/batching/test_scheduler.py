"""Texts take turns on one thread, each with a clock and a context of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from time import sleep
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag.batching.batch_cache import Batch, RowCache
from uag.batching.scheduler import NARROW, Hub, PassRequest, run_together, wait_for_pass
from uag.clock import now


def test_time_passes_for_one_text_at_a_time() -> None:
    model = random_model("llama", tokenizer("qwen2"))
    batch = Batch(model)

    def read(seconds: float) -> float:
        cache = RowCache(batch)
        start = now()
        cache.forward(torch.tensor([5, 6]), 1)
        sleep(seconds)
        cache.forward(torch.tensor([7]), 1)
        return now() - start

    short, long = run_together([partial(read, 0.0), partial(read, 0.5)], Hub([batch]))
    assert long > 0.5 and short < 0.4


def test_tasks_keep_their_context() -> None:
    from contextvars import ContextVar

    variable: ContextVar[int] = ContextVar("variable")
    variable.set(3)
    assert run_together([variable.get, variable.get], Hub([])) == [3, 3]


@dataclass(eq=False)
class Row:
    """A text's cache, as far as the scheduler knows it."""

    batch: "Doubling"


class Doubling:
    """A model that reads for several texts: of a request for `n` it says `2 n`."""

    def __init__(self, widest: int = 9) -> None:
        self.widest = widest
        self.passes: list[list[int]] = []
        self.left: list[Any] = []

    def choose(self, waiting: Sequence[PassRequest]) -> Sequence[PassRequest]:
        return waiting[: self.widest]

    def share(self, prompts: Sequence[PassRequest]) -> Sequence[PassRequest]:
        return prompts

    def forward(self, requests: Sequence[PassRequest]) -> list[torch.Tensor]:
        asked = [int(each.ids[-1]) for each in requests]
        self.passes.append(asked)
        if 13 in asked:
            raise ValueError("13")
        return [2 * each.ids[-1:] for each in requests]

    def leave(self, row: Any) -> None:
        self.left.append(row)


def doubled(batch: Doubling, number: int, times: int) -> int:
    """A text that needs several passes, one after the other."""
    row = Row(batch)
    for _ in range(times):
        number = int(wait_for_pass(PassRequest(row, torch.tensor([number]), 1)))
    return number


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), max_size=6),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_results_are_those_of_each_call_alone_in_their_order(
    calls: list[tuple[int, int]], size: int, widest: int
) -> None:
    batch = Doubling(widest)
    tasks = [partial(doubled, batch, number, times) for number, times in calls]
    assert run_together(tasks, Hub([batch]), size) == [number * 2**times for number, times in calls]
    assert all(len(asked) <= min(size, widest) for asked in batch.passes)
    assert sum(map(len, batch.passes)) == sum(times for _, times in calls)
    assert len(batch.left) == sum(times > 0 for _, times in calls)


def test_later_models_wait_for_the_first() -> None:
    first, second = Doubling(), Doubling()
    tasks = [
        lambda: doubled(first, 1, 3) + doubled(second, 1, 1),
        lambda: doubled(second, 2, 1),
    ]
    assert run_together(tasks, Hub([first, second])) == [10, 4]
    assert [sorted(asked) for asked in second.passes] == [[1, 2]]


def test_an_error_in_a_pass_is_raised_where_it_was_waited_for() -> None:
    batch, ended = Doubling(widest=1), list[int]()

    def handles(number: int) -> int:
        try:
            return doubled(batch, number, 1)
        except ValueError:
            return -1
        finally:
            ended.append(number)

    tasks = [partial(handles, number) for number in (2, 13, 4)]
    assert run_together(tasks, Hub([batch])) == [4, -1, 8]
    ended.clear()
    with pytest.raises(ValueError, match="13"):
        run_together([partial(handles, 2), partial(doubled, batch, 13, 1)], Hub([batch]), size=2)
    assert ended == [2]


def prompt(batch: Doubling, number: int, length: int, told: list[str], name: str) -> int:
    """A text with a prompt of `length` ids, and then passes of one id."""
    row = Row(batch)
    ids = torch.full((length,), number)
    wait_for_pass(PassRequest(row, ids, 1))
    told.append(name)
    return doubled(batch, number, 3)


@given(st.lists(st.integers(NARROW + 2, 300), max_size=6), st.integers(40, 200))
def test_newcomers_hold_the_others_back_by_one_pass_in_a_round(
    lengths: list[int], most: int
) -> None:
    batch, told = Doubling(), list[str]()
    hub = Hub([batch], prompt_ids=most)
    hub.begin(partial(doubled, batch, 1, 20), lambda outcome: told.append(str(outcome.result())))
    for number, length in enumerate(lengths):
        hub.begin(partial(prompt, batch, 3, length, told, f"{number}"), lambda _: None)
    blocks: list[tuple[int, int]] = []
    forward = batch.forward

    def watched(requests: Sequence[PassRequest]) -> list[torch.Tensor]:
        blocks.append((len(requests), max(len(each.ids) for each in requests)))
        return forward(requests)

    batch.forward = watched  # type: ignore[method-assign]
    while hub.step() and str(2**20) not in told:
        pass
    of_prompts = [widest > NARROW + 1 for _, widest in blocks]
    assert not any(one and after for one, after in pairwise(of_prompts))
    assert all(rows * widest <= most for rows, widest in blocks if widest > NARROW + 1)
    while hub.step():
        pass
    told.remove(str(2**20))
    assert told == [f"{number}" for number in range(len(lengths))]  # first come, first served


def test_a_task_that_is_dropped_ends_where_it_waits() -> None:
    batch, ended = Doubling(), list[str]()

    def text(name: str) -> int:
        try:
            return doubled(batch, 1, 3)
        finally:
            ended.append(name)

    hub, results = Hub([batch]), list[int]()
    kept = hub.begin(partial(text, "kept"), lambda outcome: results.append(outcome.result()))
    dropped = hub.begin(partial(text, "dropped"), lambda _: results.append(-1))
    hub.step()
    hub.drop(dropped)
    hub.drop(dropped)
    assert ended == ["dropped"] and len(hub) == 1 and len(batch.left) == 1
    while hub.step():
        pass
    hub.drop(kept)
    assert results == [8] and ended == ["dropped", "kept"] and len(batch.left) == 2


@given(st.sets(st.integers(0, 7)))
def test_only_those_fail_whose_ids_cannot_be_read(wrong: set[int]) -> None:
    """A pass that fails so is tried again in halves; the others fail with it after other errors."""
    for halved in ((ValueError,), ()):
        batch, found = Doubling(), dict[int, bool]()
        hub = Hub([batch], halved=halved)

        def ended(number: int, outcome: Any) -> None:
            found[number] = outcome.exception() is None  # noqa: B023

        for number in range(8):
            call = partial(doubled, batch, 13 if number in wrong else 1, 1)
            hub.begin(call, partial(ended, number))
        while hub.step():
            pass
        assert found == {n: n not in wrong if halved else not wrong for n in range(8)}
