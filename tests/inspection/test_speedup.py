"""The expected speed-up is that of the rounds themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.inspection.speedup import LONGEST, best_lookahead, break_even, speedup

chances = st.floats(0.01, 0.99)


@given(chances, st.floats(0.1, 4), st.floats(0.001, 2))
def test_the_best_lookahead_is_the_best_and_pays_above_the_break_even(
    acceptance: float, tokens_per_id: float, cost: float
) -> None:
    k, times = best_lookahead(acceptance, tokens_per_id, cost)
    assert times == max(speedup(acceptance, k, tokens_per_id, cost) for k in range(LONGEST + 1))
    assert times == speedup(acceptance, k, tokens_per_id, cost)
    edge = break_even(tokens_per_id, cost)
    if abs(acceptance - edge) > 1e-6:
        assert (k > 0) == (acceptance > edge)


@given(chances, st.integers(1, 6), st.floats(0.1, 4), st.floats(0.001, 2))
def test_the_speedup_is_that_of_the_rounds_themselves(
    acceptance: float, k: int, tokens_per_id: float, cost: float
) -> None:
    # Every outcome of a round: `accepted` ids are, the next isn't.
    tokens = sum(
        acceptance**accepted
        * ((1 - acceptance) if accepted < k else 1)
        * (1 + tokens_per_id * accepted)
        for accepted in range(k + 1)
    )
    assert speedup(acceptance, k, tokens_per_id, cost) == pytest.approx(tokens / (1 + k * cost))
