"""Texts take turns on one thread, each with a clock and a context of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import sleep
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag.batching.batch_cache import Batch, RowCache
from uag.batching.scheduler import PassRequest, run_together, wait_for_pass
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

    short, long = run_together([partial(read, 0.0), partial(read, 0.5)], [batch])
    assert long > 0.5 and short < 0.4


def test_tasks_keep_their_context() -> None:
    from contextvars import ContextVar

    variable: ContextVar[int] = ContextVar("variable")
    variable.set(3)
    assert run_together([variable.get, variable.get], []) == [3, 3]


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

    def forward(self, requests: Sequence[PassRequest]) -> list[torch.Tensor]:
        asked = [int(each.ids) for each in requests]
        self.passes.append(asked)
        if 13 in asked:
            raise ValueError("13")
        return [2 * each.ids for each in requests]

    def leave(self, row: Any) -> None:
        self.left.append(row)


def doubled(batch: Doubling, number: int, times: int) -> int:
    """A text that needs several passes, one after the other."""
    row = Row(batch)
    for _ in range(times):
        number = int(wait_for_pass(PassRequest(row, torch.tensor(number), 1)))
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
    assert run_together(tasks, [batch], size) == [number * 2**times for number, times in calls]
    assert all(len(asked) <= min(size, widest) for asked in batch.passes)
    assert sum(map(len, batch.passes)) == sum(times for _, times in calls)
    assert len(batch.left) == sum(times > 0 for _, times in calls)


def test_later_models_wait_for_the_first() -> None:
    first, second = Doubling(), Doubling()
    tasks = [
        lambda: doubled(first, 1, 3) + doubled(second, 1, 1),
        lambda: doubled(second, 2, 1),
    ]
    assert run_together(tasks, [first, second]) == [10, 4]
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
    assert run_together(tasks, [batch]) == [4, -1, 8]
    ended.clear()
    with pytest.raises(ValueError, match="13"):
        run_together([partial(handles, 2), partial(doubled, batch, 13, 1)], [batch], size=2)
    assert ended == [2]
