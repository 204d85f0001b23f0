"""The likeliest id of each row, and that NaN is no id."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from uag.sampling.greedy import most_likely, most_likely_draft

rows = st.lists(
    st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5), min_size=1, max_size=4
)


@given(rows)
def test_it_is_the_first_of_the_best_scores(rows: list[list[float]]) -> None:
    scores = torch.tensor(rows)
    expected = [row.index(max(row)) for row in rows]
    assert most_likely(scores, [], 0).tolist() == most_likely_draft()(scores).tolist() == expected


def test_a_row_with_nan_has_no_likeliest_id() -> None:
    scores = torch.tensor([[0.0, 1.0], [torch.nan, 1.0], [torch.nan, torch.nan]])
    assert most_likely(scores, [], 0).tolist() == [1, -1, -1]
