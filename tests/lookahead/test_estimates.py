"""What is known of two models: rates are those of the rounds themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.lookahead.auto import Auto
from uag.lookahead.estimates import LEAST_GAIN, LONGEST, Estimates
from uag.stats import Round


def learnt(accepted: list[int], step: float, wider: float) -> Estimates:
    """Of rounds with drafts of four ids, of which so many were accepted."""
    estimates = Estimates()
    costs = estimates.costs(1)
    for _ in range(3):
        for width in range(1, LONGEST + 2):
            costs.verified(width, 1 + wider * (width - 1))
    for right in accepted:
        done = Round([0] * (right + 1), right, 4, right, 4, {}, 5, draft_seconds=[step] * 4)
        costs.drafted(done.draft_seconds)
        estimates.learn_draft(done, estimates.learn_rate(done, costs), done.candidates)
    return estimates


@given(
    st.lists(st.integers(0, 4), min_size=5, max_size=40), st.floats(0.01, 1), st.floats(0.001, 0.5)
)
def test_the_best_number_of_ids_is_the_best_of_all(
    accepted: list[int], step: float, wider: float
) -> None:
    estimates = learnt(accepted, step, wider)
    costs = estimates.costs(1)
    first, later = estimates.first.mean(), estimates.later_chance

    def rate(k: int) -> float:
        """Tokens a second of drafts of `k` ids, by the sum of all outcomes."""
        tokens = 1 + sum(estimates.tokens_per_id * first * later**place for place in range(k))
        return tokens / (costs.draft(k) + costs.verification(1 + estimates.tokens_per_id * k))

    k, best = estimates.best(costs)
    assert best == pytest.approx(max(rate(k) for k in range(1, LONGEST + 1)))
    assert best == pytest.approx(rate(k))
    plain = costs.verification(1)
    assert estimates.could_pay(costs) or best <= 1 / plain / (1 - LEAST_GAIN) + 1e-9


def padded(accepted: list[int], wide: float) -> Auto:
    """Passes are of 8 or 16 ids; each id of the assistant becomes two of the target."""
    auto = Auto()
    for width, seconds in ((1, 1.0), (8, 1.1), (16, 1.1 + wide)):
        for _ in range(3):
            auto.costs.verified(width, seconds)
    for ids in range(2, 17):
        auto.costs.padded(ids, 8 if ids <= 8 else 16)
    for right in accepted:
        done = Round(
            [0] * (2 * right + 1), 2 * right, 4, right, 8, {}, 16, draft_seconds=[0.01] * 4
        )
        auto.costs.drafted(done.draft_seconds)
        auto.estimates.learn_draft(done, auto.estimates.learn_rate(done, auto.costs), 8)
    return auto


@given(st.lists(st.integers(0, 4), min_size=5, max_size=40), st.floats(0, 3), st.integers(1, 16))
def test_candidates_that_make_a_pass_wider_must_pay_for_it(
    accepted: list[int], wide: float, ids: int
) -> None:
    auto = padded(accepted, wide)
    estimates, costs = auto.estimates, auto.costs

    def tokens(read: int) -> float:
        """Expected tokens of a pass over so many ids, by the sum of all outcomes."""
        each = estimates.later_chance ** (1 / estimates.tokens_per_id)
        chances = [1.0, *(each ** max(0.0, at - estimates.tokens_per_id) for at in range(1, read))]
        return 1 + estimates.first.mean() * sum(chances[1:])

    rate = estimates.rate(costs)
    got = auto.fit(ids, looked_up=False)
    gains = {
        read: tokens(read) - rate * costs.verification(read) for read in (8, ids) if read <= ids
    }
    assert gains[got] == pytest.approx(max(gains.values()))
    assert auto.fit(ids, looked_up=True) == ids
    auto.share(4)
    assert auto.fit(ids, looked_up=False) == ids


def test_where_a_wider_pass_costs_much_a_chain_fills_a_narrower_one() -> None:
    assert padded([1, 2, 1, 2, 1] * 4, wide=2).fit(10, looked_up=False) == 8
    assert padded([1, 2, 1, 2, 1] * 4, wide=0.001).fit(10, looked_up=False) == 10


def test_how_many_ids_a_draft_becomes_is_learnt_of_all_candidates() -> None:
    auto = padded([1, 2, 1, 2, 1] * 4, wide=2)
    before = auto.estimates.tokens_per_id
    for _ in range(8):
        read = auto.fit(9, looked_up=False)
        assert read == 8
        auto.update(Round([0] * 3, 2, 4, 1, read - 1, {"verify": 1.1}, 8, draft_seconds=[0.01] * 4))
    assert auto.estimates.tokens_per_id >= before, "as without a narrower pass"


def test_passes_that_more_rows_share_have_costs_of_their_own() -> None:
    estimates = Estimates()
    for rows, seconds in ((1, 1.0), (2, 0.6), (4, 0.4)):
        for _ in range(3):
            estimates.costs(rows).verified(1, seconds)
    assert [estimates.costs(rows).plain for rows in (1, 2, 3, 4, 7)] == [1.0, 0.6, 0.6, 0.4, 0.4]


def done(auto: Auto, k: int) -> None:
    """A round with `k` drafted ids, all accepted; a plain pass takes 1."""
    auto.update(
        Round(
            tokens=[0] * (k + 1),
            accepted=k,
            drafted=k,
            drafted_accepted=k,
            candidates=k,
            width=k + 1,
            seconds={"draft": 0.05 * k, "verify": 1.0},
            confidences=[0.9] * k,
            draft_seconds=[0.05] * k,
        )
    )


def test_generations_in_turn_do_not_mix_where_they_stand() -> None:
    """The first id of a draft costs a usual amount only after a round that drafted too."""
    estimates, flags = Estimates(), list[bool]()
    costs: Any = estimates.costs(rows=1)
    counted = costs.drafted

    def spied(seconds: list[float], *, after_draft: bool, **others: bool) -> None:
        flags.append(after_draft)
        counted(seconds, after_draft=after_draft, **others)

    costs.drafted = spied
    drafting, plain = Auto(estimates), Auto(estimates)
    for auto in (drafting, plain):
        auto.start()
    for _ in range(40):
        done(drafting, min(drafting.next_k(), 4))
        plain.next_k()
        done(plain, 0)  # nothing to draft from
    assert len(flags) > 30
    assert flags[1:] == [True] * (len(flags) - 1)


def test_what_one_generation_learns_the_next_one_knows() -> None:
    estimates = Estimates()
    first = Auto(estimates)
    first.start()
    for _ in range(30):
        done(first, min(first.next_k(), 4))
    second = Auto(estimates)
    second.start()
    assert second.costs.plain == 1.0 and second.next_k() > 0


def test_costs_belong_to_a_number_of_rows() -> None:
    estimates = Estimates()
    assert estimates.costs(2) is estimates.costs(3)
    assert len({id(estimates.costs(rows)) for rows in (1, 2, 4, 8)}) == 4
