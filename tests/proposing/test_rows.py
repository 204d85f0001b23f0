"""Rows are found by what they say."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from uag.proposing.row import Row
from uag.proposing.rows import MOST_IDLE, Rows

texts = st.lists(st.lists(st.integers(0, 1), max_size=5), max_size=5)


class Text:
    """A row, as far as it is looked for."""

    begins = Row.begins

    def __init__(self, ids: list[int]) -> None:
        self.ids = np.array(ids, dtype=np.int64)


def row(ids: list[int]) -> Any:
    return Text(ids)


def arrays(texts: list[list[int]]) -> list[Any]:
    return [np.array(text, dtype=np.int64) for text in texts]


@given(texts, texts)
def test_each_row_begins_its_text_and_is_given_once(known: Any, asked: Any) -> None:
    rows = Rows()
    rows.keep([row(each) for each in known])
    found: list[Any] = rows.found(arrays(asked))
    given_out = [each for each in found if each is not None]
    assert len({id(each) for each in given_out}) == len(given_out)
    for text, one in zip(asked, found, strict=True):
        if one is not None:
            assert one.ids.tolist() == text[: len(one.ids)]
        else:
            free = [each for each in known if each == text[: len(each)]]
            assert len(free) <= len(given_out)


@given(texts)
def test_what_has_not_moved_stays_where_it_is(known: Any) -> None:
    rows = Rows()
    ones = [row(each) for each in known]
    rows.keep(ones)
    found = rows.found(arrays([[*each, 1] for each in known]))
    assert all(one is other for one, other in zip(ones, found, strict=True))


def test_those_that_are_away_longest_are_forgotten_first() -> None:
    rows = Rows()
    for number in range(MOST_IDLE + 3):
        rows.keep([row([number])])
    first, last = rows.found(arrays([[0], [MOST_IDLE + 1]]))
    assert first is None and last is not None
