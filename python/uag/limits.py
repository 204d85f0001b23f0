"""Limits of numeric options, and the checks that refuse a number outside them."""

import math
from collections.abc import Callable
from typing import Any

from uag.errors import OptionError

# Options that count ids.
COUNTS = ("max_new_tokens", "max_length", "min_new_tokens", "min_length", "no_repeat_ngram_size")


def _is_count(value: float) -> bool:
    return isinstance(value, int) and value >= 0


# Option -> (whether a value is allowed, its limits in words). transformers does not check these
# limits, or ignores a value outside them.
LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (
        lambda value: 0 < value < math.inf,
        "above 0; for greedy decoding omit it and do_sample",
    ),
    "top_k": (
        lambda value: value >= 0 and value % 1 == 0,
        "a whole number; 0 keeps all tokens",
    ),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1, which keeps all tokens"),
    "min_p": (lambda value: 0 <= value <= 1, "from 0, which keeps all tokens, to 1"),
    "typical_p": (lambda value: 0 < value <= 1, "above 0 and at most 1, which keeps all tokens"),
    "epsilon_cutoff": (lambda value: 0 <= value < 1, "from 0, which keeps all tokens, to below 1"),
    "eta_cutoff": (lambda value: 0 <= value < 1, "from 0, which keeps all tokens, to below 1"),
    "draft_temperature": (lambda value: 0 < value < math.inf, "above 0; 1 is the target's own"),
    "seed": (
        lambda value: 0 <= value < 2**63 and value % 1 == 0,
        "a whole number from 0 to 2**63 - 1",
    ),
    "num_return_sequences": (lambda value: value >= 1 and value % 1 == 0, "at least 1"),
    "batch_size": (lambda value: value >= 1 and value % 1 == 0, "at least 1"),
    **dict.fromkeys(COUNTS, (_is_count, "a whole number, at least 0")),
}


def check_limits(options: dict[str, Any]) -> None:
    """Refuse options whose numbers are out of range; `None` and unknown names pass.

    Raises:
        OptionError: naming the option, its value and its limits.

    >>> check_limits({"top_p": 0.9, "seed": None})
    >>> check_limits({"batch_size": 0})
    Traceback (most recent call last):
    uag.errors.OptionError: batch_size=0 is out of range: it must be at least 1
    """
    for name, value in options.items():
        if value is None or name not in LIMITS:
            continue
        holds, limits = LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
            raise OptionError(f"{name}={value!r} is out of range: it must be {limits}")


def check_positive(**numbers: int | None) -> None:
    """Refuse counts below 1; `None` passes.

    Raises:
        OptionError: naming the option and its value.

    >>> check_positive(batch_size=4, k=None)
    """
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise OptionError(f"{name} is {number}, but must be at least 1")
