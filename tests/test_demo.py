"""The demo pair."""

from tests.support.stories import OPENINGS, check_identical
from uag.demo import demo_decoder


def test_the_demo_pair_is_identical() -> None:
    assert check_identical(demo_decoder(lookahead=5), [*OPENINGS, "The dog"], 40) > 1.2
