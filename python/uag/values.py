"""Kinds of values that a caller may give: numbers, ids, texts, pairs; and how to show them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard, cast

PAIR = 2
# The most characters of a value in an error message.
SHOWN = 80


def is_whole(value: Any, low: int = 0, above: float = math.inf) -> bool:
    """Whether a value is a whole number from `low` to below `above`.

    >>> is_whole(5), is_whole(5.0), is_whole(True), is_whole(-1)
    (True, False, False, False)
    """
    # numpy's numbers are no `int`, and a bool is one.
    return isinstance(value, Integral) and not is_bool(value) and low <= int(value) < above


def is_bool(value: object) -> bool:
    """Whether a value is `True` or `False` itself.

    >>> is_bool(True), is_bool(1)
    (True, False)
    """
    return isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and small enough for a float."""
    if not isinstance(value, Real) or is_bool(value):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


def is_id(value: object) -> bool:
    """Whether a value is a number that a tensor of ids can hold.

    >>> is_id(9999), is_id(-7), is_id(2**63)
    (True, False, False)
    """
    return is_whole(value, 0, 2**63)


def is_text(value: object) -> bool:
    r"""Whether a value is a text without lone surrogates, which no tokenizer can read.

    >>> is_text("Once"), is_text("\ud800"), is_text(5)
    (True, False, False)
    """
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def texts_in(value: object) -> Iterator[str]:
    """Every text in nested lists and dicts, keys included.

    >>> [*texts_in([{"role": "user", "content": [5, "Hi!"]}])]
    ['role', 'user', 'content', 'Hi!']
    """
    left = [value]
    while left:
        here: Any = left.pop()
        if isinstance(here, str):
            yield here
        elif isinstance(here, Mapping):
            parts = [*cast("Mapping[object, object]", here).items()]
            left += [each for part in reversed(parts) for each in reversed(part)]
        elif isinstance(here, list | tuple):
            left += reversed(cast("list[object]", here))


def listed(value: Any) -> list[Any]:
    """The members of a list, a tuple or a tensor; of anything else, the value alone."""
    members = value.tolist() if hasattr(value, "tolist") else value
    return [*cast("Iterable[Any]", members)] if isinstance(members, list | tuple) else [members]


def are_ids(value: Any) -> bool:
    """Whether a value is an id or a list of ids that is not empty.

    >>> are_ids(5), are_ids([5, 6]), are_ids([]), are_ids([5, "a"])
    (True, True, False, False)
    """
    ids = listed(value)
    return bool(ids) and all(map(is_id, ids))


def is_pair(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list or tuple of two.

    >>> is_pair([1, 2]), is_pair("ab")
    (True, False)
    """
    return isinstance(value, list | tuple) and len(cast("list[Any]", value)) == PAIR


def power_of_two(least: int) -> int:
    """The first of 1, 2, 4 ... that is not less.

    >>> power_of_two(96), power_of_two(1), power_of_two(0)
    (128, 1, 1)
    """
    return 1 << max(0, least - 1).bit_length()


def shown(value: object) -> str:
    """A value in an error message: its `repr`, of limited length.

    >>> shown("hot"), len(shown([*range(1000)]))
    ("'hot'", 80)
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no int of more than 4,300 digits
        return f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
