"""What passes cost by their width, from what they took."""

import pytest

from uag.lookahead.costs import Costs


def test_the_first_pass_of_a_width_counts_with_caution_and_only_until_the_second() -> None:
    costs = Costs()
    for _ in range(2):
        costs.verified(1, 1.0)
    costs.verified(4, 50.0)
    assert costs.verification(4) == 2.0
    costs.verified(4, 1.5)
    assert costs.verification(4) == 1.5


@pytest.mark.parametrize(("apart", "plain"), [(True, 1.0), (False, None)])
def test_the_very_first_pass_counts_if_what_it_set_up_does_not(
    apart: bool, plain: float | None
) -> None:
    costs = Costs(sets_up_apart=apart)
    costs.verified(1, 1.0)
    assert costs.plain == plain
    costs.verified(4, 50.0)
    costs.verified(1, 2.0)
    assert costs.plain == 2.0


def test_a_draft_that_was_interrupted_is_one_measurement_of_a_step() -> None:
    costs = Costs()
    for step in (1.0, 1.1, 30.0):
        costs.drafted([step] * 8)
    assert costs.step == 1.1


def test_wider_passes_than_any_so_far_are_worth_a_try() -> None:
    costs = Costs()
    for width, seconds in ((1, 1.0), (2, 1.1), (4, 1.9)) * 2:
        costs.verified(width, seconds)
    assert costs.verification(30) == costs.verification(4) == 1.9


def test_a_padded_pass_costs_what_one_of_its_width_does() -> None:
    costs = Costs()
    for _ in range(2):
        for width, seconds in ((1, 1.0), (2, 1.1), (4, 1.5), (8, 1.6)):
            costs.verified(width, seconds)
    assert costs.verification(3) == pytest.approx(1.3)
    costs.padded(3, 4)
    assert costs.verification(3) == 1.5
    # Passes of 2 to 4 ids, of which some are padded.
    assert costs.verification(2.5) == pytest.approx(1.2)
