"""How many candidates of a tree are verified follows from their chances and what a pass costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.lookahead.costs import Costs
from uag.lookahead.rules.trees import (
    JUDGED_BY,
    SHORT_PAUSE,
    SIZES,
    Heaviest,
    TreeRule,
    reached,
)

CHAIN, COMB = [*range(-1, 7)], [-1, 0, 1, 2, -1, 0, 1, 2]


def costs(each: float) -> Costs:
    """A pass of a second, and so many more for each further id."""
    found = Costs()
    for width in (1, *(size + 1 for size in SIZES)):
        for _ in range(3):
            found.verified(width, 1 + each * (width - 1))
    return found


def test_free_width_is_used_and_dear_width_is_not() -> None:
    chances = [0.8] * 4 + [0.15] * 4
    assert TreeRule().best(COMB, chances, 8, [], 1.0, costs(0))[1] == 7
    assert TreeRule().best(COMB, chances, 8, [], 1.0, costs(10))[1] == 1
    weights, size = TreeRule().best(COMB, chances, 8, [], 1.0, costs(0.25))
    kept = sorted(range(8), key=lambda at: -weights[at])[:size]
    assert kept == [*range(size)] and 1 < size <= 4, "the chain alone"


def test_what_was_seen_counts() -> None:
    rule = TreeRule()
    for _ in range(40):
        rule.learn([(0, 0.8, False), (0, 0.15, True), (1, 0.8, True)])
    weights, _ = rule.best(COMB, [0.8] * 4 + [0.15] * 4, 8, [], 1.0, costs(0))
    assert weights[4] > 0.8
    assert weights[0] < 0.1
    assert weights[1] / weights[0] > 0.9, "what follows an accepted id is another matter"


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(0, 31), st.floats(0, 3), st.floats(0, 9))
def test_the_size_is_a_usual_one(chances: list[float], most: int, each: float, rate: float) -> None:
    parents = [(at - 1) // 2 for at in range(len(chances))]
    parents = [-1 if at == 0 else parent for at, parent in enumerate(parents)]
    most = min(most, len(chances))
    weights, size = TreeRule().best(parents, chances, most, [], rate, costs(each))
    assert len(weights) == len(chances)
    assert size == 0 if most == 0 else size in SIZES and size <= most
    assert all(
        weight <= weights[parent]
        for weight, parent in zip(weights, parents, strict=True)
        if parent >= 0
    )
    assert Heaviest(5).prune(parents, chances, most, [])[1] == min(5, most)


def test_padding_is_filled() -> None:
    padding, parents, chances = costs(0.001), [-1] * 14, [0.07] * 14
    assert TreeRule().best(parents, chances, 14, [], 1.0, padding)[1] == 11
    padding.padded(12, 16)
    assert TreeRule().best(parents, chances, 14, [], 1.0, padding)[1] == 14
    assert TreeRule().best(parents, chances, 13, [], 1.0, padding)[1] == 13, "the most"


def test_chances_multiply() -> None:
    assert reached([-1, 0, 1], [0.5, 0.5, 0.5]) == [0.5, 0.25, 0.125]
    assert reached(CHAIN, [1.0] * 8) == pytest.approx([1.0] * 8)


def test_a_long_chain_is_not_cut_to_the_size_of_a_tree() -> None:
    parents, chances = [*range(-1, 47)], [0.99] * 48
    weights, size = TreeRule().best(parents, chances, 31, [*range(48)], 1.0, costs(0.001))
    assert size == 48 and weights == [1.0] * 48
    assert Heaviest(31).prune(parents, chances, 31, [*range(48)]) == (weights, 48)


def test_branches_must_gain_what_they_cost() -> None:
    chances, chain = [0.8] * 4 + [0.15] * 4, [0, 1, 2, 3]
    dear = costs(0)
    dear.verified(5, 2.0, branches=True)
    assert TreeRule().best(COMB, chances, 8, chain, 1.0, costs(0))[0][4] > 0
    assert dear.branching == 1.0
    assert TreeRule().best(COMB, chances, 8, chain, 1.0, dear) == ([1.0] * 4 + [0.0] * 4, 4)


def test_siblings_that_gain_less_than_their_scores_are_not_scored_for_a_while() -> None:
    rule, known, chain = TreeRule(), costs(10), [0, 1, 2, 3]
    known.drafted([1.0, 1.0])
    known.drafted([1.1, 1.1], scored=True)
    scored = []
    for _ in range(400):
        scored.append(rule.due())
        if scored[-1]:
            rule.best(COMB, [0.8] * 4 + [0.15] * 4, 8, chain, 1.0, known)
    assert all(scored[:JUDGED_BY]) and not any(scored[JUDGED_BY : JUDGED_BY + SHORT_PAUSE - 1])
    assert sum(scored) < 0.2 * len(scored), "the next pause is longer"
    free, rule = costs(0), TreeRule()
    for _ in range(100):
        assert rule.due()
        rule.best(COMB, [0.8] * 4 + [0.15] * 4, 8, chain, 1.0, free)
