"""Which of several assistants to take."""

import json

import pytest

from uag.benchmark.comparison import Comparison, Method, Run
from uag.benchmark.selection import Recommendation, Selection


def compared(*seconds: float, plain: float = 1.0) -> Comparison:
    """A comparison with the seconds of uag in each repetition, and those of plain decoding."""

    def method(name: str, times: tuple[float, ...]) -> Method:
        return Method(name, [[Run([1, 2], each, 1)] for each in times])

    return Comparison(["Once"], [method("plain", (plain,) * len(seconds)), method("uag", seconds)])


def advice(**assistants: Comparison) -> Recommendation:
    found = Selection([*assistants], [*assistants.values()]).recommendation
    assert found is not None
    described = found.as_dict()
    assert json.loads(json.dumps(described)) == described
    return found


def test_the_fastest_is_recommended_and_beside_it_is_the_next() -> None:
    found = advice(slow=compared(0.8, 0.8), fast=compared(0.25, 0.25), middle=compared(0.5, 0.5))
    assert str(found) == "take fast: 4.00x plain and 2.00x middle, the next"
    assert found.as_dict() == {
        "assistant": "fast",
        "fastest": "fast",
        "speedup": 4.0,
        "clear_of_plain": True,
        "next": "middle",
        "over_next": 2.0,
        "clear_of_next": True,
        "text": str(found),
    }


def test_what_else_a_machine_did_in_the_turn_of_one_is_in_its_plain_decoding_too() -> None:
    found = advice(alone=compared(0.5, 0.5), beside=compared(1.0, 1.0, plain=4.0))
    assert (found.assistant, found.speedup, found.over_next) == ("beside", 4, 2)


def test_runs_that_overlap_decide_nothing() -> None:
    found = advice(one=compared(0.4, 0.5, 0.6), other=compared(0.45, 0.55, 0.65))
    assert (found.assistant, found.clear_of_plain, found.clear_of_next) == ("one", True, False)
    assert str(found).endswith("1.10x other, the next (within what the runs vary)")
    found = advice(one=compared(0.9, 0.9, 1.1), other=compared(2.0, 2.0, 2.0))
    assert (found.clear_of_plain, found.clear_of_next) == (False, True)
    assert str(found).startswith("take one: 1.11x plain (within what the runs vary) and 2.22x")


def test_one_run_shows_nothing_of_what_varies() -> None:
    found = advice(one=compared(0.4), other=compared(0.8))
    assert found.clear_of_plain is found.clear_of_next is None and "--runs 3" in str(found)


@pytest.mark.parametrize("seconds", [(1.0, 1.0), (1.5, 0.9), (2.0,)])
def test_plain_decoding_is_taken_if_no_assistant_is_faster(seconds: tuple[float, ...]) -> None:
    found = advice(one=compared(*seconds), other=compared(3.0, 3.0))
    assert found.assistant is None and found.as_dict()["assistant"] is None
    assert str(found).startswith("none of them pays here: decode plainly (the fastest, one, is ")


def test_there_is_no_recommendation_before_all_runs_are_made() -> None:
    whole = compared(0.5, 0.5)
    part = Comparison(whole.prompts, whole.methods, interrupted=(3, 6))
    for comparisons in ([whole], [whole, part]):
        selection = Selection(["one", "other"], comparisons)
        assert not selection.complete and selection.recommendation is None


def test_plain_decoding_has_its_runs_of_all_turns() -> None:
    selection = Selection(["one", "other"], [compared(0.5, 0.5), compared(0.5, 0.5, plain=4.0)])
    [plain] = selection.plain.methods
    assert plain.speeds == [2, 2, 0.5, 0.5] and selection.plain.speedup(plain) == 1
