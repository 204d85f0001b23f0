"""The demo pair."""

from typing import Any, cast

from tests.support.stories import OPENINGS, check_identical
from uag.cli.commands.demo import LENGTH, OPENING
from uag.demo import demo_decoder


def test_the_demo_pair_is_identical() -> None:
    assert check_identical(demo_decoder(lookahead=5), [*OPENINGS, "The dog"], 40) > 1.2


def test_the_story_that_a_newcomer_sees_ends_and_does_not_repeat_itself() -> None:
    """The two best tokens never come nearer than 0.03 on its path: a thousand times rounding."""
    decoder = demo_decoder(lookahead=5)
    out = decoder.generate(OPENING, max_new_tokens=LENGTH)
    assert len(out.token_ids) < LENGTH
    assert out.token_ids[-1] == cast("Any", decoder.tokenizer).eos_token_id
    words = (OPENING + out.text).split()
    runs = [tuple(words[at : at + 4]) for at in range(len(words) - 3)]
    assert len(set(runs)) == len(runs)
