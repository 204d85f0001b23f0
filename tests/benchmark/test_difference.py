"""Where two outputs part, and what is said of it."""

import json
from dataclasses import replace

import pytest

from uag.benchmark.difference import Difference, Margin, first_difference

MARGIN = Margin((8.5, 8.4375), 0.0625, "bfloat16", tie=True)


@pytest.mark.parametrize(
    ("expected", "found", "place"),
    [
        ([1, 2, 3], [1, 2, 4], (2, 3, 4)),
        ([1, 2, 3], [5, 2, 3], (0, 1, 5)),
        ([1, 2], [1, 2, 3], (2, None, 3)),
        ([1, 2], [1], (1, 2, None)),
        ([], [7], (0, None, 7)),
    ],
)
def test_the_first_id_that_differs(
    expected: list[int], found: list[int], place: tuple[int, int | None, int | None]
) -> None:
    difference = first_difference("uag", 3, expected, found)
    assert difference is not None and difference.prompt == 3
    assert (difference.position, difference.expected, difference.found) == place
    assert first_difference("uag", 3, expected, expected) is None


@pytest.mark.parametrize(
    ("margin", "said", "not_said"),
    [
        (MARGIN, ["rounding of bfloat16", "float32 to compare exactly"], "bug"),
        (replace(MARGIN, dtype="float32"), ["rounding of float32"], "bug"),
        (replace(MARGIN, tie=False), ["does not explain", "bug of uag"], "exactly"),
        (None, ["noise"], "bug"),
    ],
)
def test_what_a_difference_means(margin: Margin | None, said: list[str], not_said: str) -> None:
    difference = Difference("uag", 0, 5, 6, 7, ("a", "b"), margin)
    assert all(words in difference.why for words in said) and not_said not in difference.why
    described = difference.as_dict()
    assert described == json.loads(json.dumps(described))
    assert described.get("margin") == (None if margin is None else 0.0625)
