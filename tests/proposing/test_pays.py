"""How far to draft by what was accepted: the rule, by a search over all numbers of ids."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.proposing.pays import LONGEST, PRIOR, TRY, Acceptance, Share, WhatPays
from uag.stats import Round


def done(accepted: int, drafted: int) -> Round:
    return Round([7], accepted, drafted, accepted, candidates=drafted, seconds={})


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 2), st.integers(0, 8), st.floats(0.2, 3))
def test_the_most_tokens_for_what_they_cost(
    first: float, later: float, cost: float, room: int, ids_per_token: float
) -> None:
    known = 1e9
    seen = Acceptance(Share(first * known, known), Share(later * known, known))
    row = WhatPays(seen, cost)
    row.see(room, ids_per_token)
    reached = [first * later**at / ids_per_token for at in range(LONGEST)]
    rates = [
        (1 + tokens) / (1 + k * cost) for k, tokens in enumerate(accumulate(reached, initial=0.0))
    ]
    allowed = rates[: int(-(-room * ids_per_token // 1)) + 1]
    k = row.next_k()
    if max(allowed) > 1 + 1e-6:
        assert rates[k] == pytest.approx(max(allowed))
    else:
        assert k in (0, TRY) or rates[k] == pytest.approx(1)


def test_where_nothing_pays_the_pauses_grow() -> None:
    row = WhatPays(Acceptance(), cost=0.5)
    row.see(5, 1.0)
    rounds: list[bool] = []
    for _ in range(400):
        k = row.next_k()
        rounds.append(k > 0)
        row.update(done(0, k))
    tries = [at for at, drafted in enumerate(rounds) if drafted]
    gaps = [after - before for before, after in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert sum(rounds) < 12


def test_it_drafts_again_when_drafts_are_right() -> None:
    row = WhatPays(Acceptance(), cost=0.1)
    row.see(5, 1.0)
    for _ in range(100):
        row.update(done(0, row.next_k()))
    ks: list[int] = []
    for _ in range(600):
        ks.append(k := row.next_k())
        row.update(done(k, k))
    assert ks[-1] == 5


def test_a_new_row_begins_with_what_is_known_of_the_others() -> None:
    seen = Acceptance()
    assert WhatPays(seen, cost=0.1).next_k() == 2
    for _ in range(100):
        WhatPays(seen, cost=0.1).update(done(5, 5))
    assert WhatPays(seen, cost=0.1).next_k() > 5
    assert Share().mean(0.5) == 0.5
    assert Share(PRIOR, PRIOR).mean(0.0) == 0.5
