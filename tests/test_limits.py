"""Numbers at both sides of each limit."""

import math
from typing import Any

import pytest

from uag.errors import OptionError
from uag.limits import LIMITS, check_limits, check_positive

# (name, values that are in range, values that are not)
EDGES: list[tuple[str, list[Any], list[Any]]] = [
    ("temperature", [1e-9, 5], [0, -1, math.inf, math.nan]),
    ("draft_temperature", [1e-9, 5], [0, -1, math.inf, math.nan]),
    ("top_k", [0, 3, 4.0], [-1, 2.5, math.inf, math.nan]),
    ("top_p", [1e-9, 1], [0, 1.01, math.nan]),
    ("min_p", [0, 1], [-0.1, 1.1]),
    ("typical_p", [1e-9, 1], [0, 1.01]),
    ("epsilon_cutoff", [0, 0.99], [1, -0.1]),
    ("eta_cutoff", [0, 0.99], [1, -0.1]),
    ("seed", [0, 2**63 - 1], [-1, 2**63, 1.5, math.inf]),
    ("num_return_sequences", [1, 9], [0, 1.5, math.inf]),
    ("batch_size", [1, 9], [0, 1.5, math.inf, math.nan]),
    *(
        (name, [0, 1, 9], [-1, 1.0, 2.5, math.inf])
        for name in ("max_new_tokens", "max_length", "min_new_tokens", "min_length",
                     "no_repeat_ngram_size")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "right", "wrong"), EDGES, ids=[name for name, *_ in EDGES])
def test_limits(name: str, right: list[Any], wrong: list[Any]) -> None:
    for value in [None, *right]:
        check_limits({name: value, "another": "anything"})
    for value in [*wrong, True, "5"]:
        with pytest.raises(OptionError, match=f"^{name}={value!r} is out of range: it must be "):
            check_limits({name: value})


def test_every_limit_is_tried() -> None:
    assert [name for name, *_ in EDGES if name not in LIMITS] == []
    assert {*LIMITS} == {name for name, *_ in EDGES}


def test_counts_below_one() -> None:
    check_positive(runs=1, limit=None)
    with pytest.raises(OptionError, match="limit is 0, but must be at least 1"):
        check_positive(runs=1, limit=0)
