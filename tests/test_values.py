"""Kinds of values, at their edges."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from uag.values import are_ids, is_id, is_number, is_pair, is_text, is_whole, shown, texts_in


@pytest.mark.parametrize("value", [0, 5, 2**63 - 1, np.int64(5)])
def test_whole_numbers(value: Any) -> None:
    assert is_whole(value) and is_id(value) and is_number(value)


@pytest.mark.parametrize("value", [True, 5.0, -1, "5", None, [5], math.nan, np.bool_(True)])
def test_what_is_no_whole_number(value: Any) -> None:
    assert not is_whole(value) and not is_id(value)


def test_numbers() -> None:
    assert all(map(is_number, (0, -2.5, 1e308, np.float32(0.5))))
    assert not any(map(is_number, (True, "1", math.inf, math.nan, 10**400, None, [1.0])))


def test_ids() -> None:
    assert all(map(are_ids, (5, [5], (5, 6), torch.tensor([5, 6]), torch.tensor(5))))
    assert not any(map(are_ids, ([], [[5]], [-1], torch.tensor([0.5]), "5", {}, [True])))


def test_texts() -> None:
    assert is_text("") and is_text("\U0001f642") and not is_text("a\ud83d") and not is_text(b"a")
    nested = {"a": ["b", {"c": ("d", 5)}], "e": None}
    assert [*texts_in(nested)] == ["a", "b", "c", "d", "e"]
    deep: Any = "at the bottom"
    for _ in range(100_000):
        deep = [deep]
    assert [*texts_in(deep)] == ["at the bottom"]


def test_pairs() -> None:
    assert is_pair([1, 2]) and is_pair((1, None)) and not any(map(is_pair, ("ab", [1], {1, 2}, 5)))


def test_a_message_shows_the_beginning_of_a_long_value() -> None:
    assert shown("\ud800") == "'\\ud800'" and shown(10**5000) == "<int>"
    assert shown(["x" * 500]) == "['" + "x" * 75 + "..."
