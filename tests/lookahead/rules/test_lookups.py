"""How far texts draft, and whether they are looked up at all."""

import torch

from uag.lookahead.auto import Auto
from uag.stats import Round


def simulated(auto: Auto, right: float, found: float, rounds: int, seed: int = 0) -> float:
    """Tokens a second, 1 being plain, where texts are found and right with these chances."""
    draw = torch.Generator().manual_seed(seed)

    def chance(p: float) -> bool:
        return float(torch.rand((), generator=draw)) < p

    tokens, seconds = 0, 0.0
    for _ in range(rounds):
        searched = chance(found) and auto.looks_up()
        chosen = auto.reach([0.8] * 40) if searched else []
        accepted = next((at for at in range(len(chosen)) if not chance(right)), len(chosen))
        taken = 1 + 0.03 * len(chosen)
        auto.update(
            Round(
                tokens=[0] * (accepted + 1),
                accepted=accepted,
                drafted=len(chosen),
                drafted_accepted=accepted,
                candidates=len(chosen),
                seconds={"verify": taken},
                looked_up=len(chosen),
                confidences=list(chosen),
                searched=searched,
            )
        )
        tokens += accepted + 1
        seconds += taken
    return tokens / seconds


def test_long_drafts_are_drafted_where_they_are_right() -> None:
    assert simulated(Auto(), right=0.99, found=1.0, rounds=300) > 10
    # A draft of 10, always: (1 + 10) / 1.3.
    assert 11 / 1.3 < 10


def test_where_texts_mislead_it_is_nearly_plain() -> None:
    assert simulated(Auto(), right=0.02, found=1.0, rounds=2000) > 0.98


def test_where_passes_are_short_it_looks_less_often_until_that_brings_something() -> None:
    """A pass of 1, and a look-up that takes a twentieth of it."""
    auto = Auto()

    def looked_up(accepted: int, rounds: int) -> float:
        """The part of the rounds in which it looks up, and drafts two ids if any are right."""
        looks = 0
        for _ in range(rounds):
            asked = auto.looks_up()
            drafted = len(auto.reach([0.9, 0.9] if accepted else [])) if asked else 0
            looks += asked
            auto.update(
                Round(
                    tokens=[0] * (1 + accepted * bool(drafted)),
                    accepted=accepted * bool(drafted),
                    drafted=drafted,
                    drafted_accepted=accepted * bool(drafted),
                    candidates=drafted,
                    seconds={"draft": 0.05 * asked, "verify": 1.0},
                    looked_up=drafted,
                    confidences=[0.9, 0.9][:drafted],
                    searched=asked,
                )
            )
        return looks / rounds

    shares = [looked_up(accepted, 300) for accepted in (0, 0, 2, 2)]
    # Once in six rounds costs a hundredth.
    assert shares[1] < 0.2
    assert shares[3] > 0.9


def test_texts_that_become_right_are_tried_again() -> None:
    auto = Auto()
    simulated(auto, right=0.0, found=1.0, rounds=300)
    simulated(auto, right=0.98, found=1.0, rounds=2000)
    assert simulated(auto, right=0.98, found=1.0, rounds=200) > 5


def test_the_better_looking_draft_is_verified() -> None:
    auto = Auto()
    for _ in range(40):
        auto.update(Round([0], 0, 0, 0, 0, {"verify": 1.0}))
        assisted = Round([0] * 4, 3, 3, 3, 3, {"verify": 1.1}, confidences=[0.9] * 3)
        assisted.draft_seconds.extend([0.05] * 3)
        auto.update(assisted)
    assert auto.prefers([0.98] * 20)
    assert not auto.prefers([0.3])
