"""What an assistant proposes, and how it is asked whether to go on."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Draft:
    """What may continue the text: ids in the assistant's vocabulary, then text in nobody's.

    Attributes:
        ids: none if there is nothing to propose.
        confidences: the chance of each drafted id by who drafted it, where the lookahead asks.
        seconds: for each of `ids`, what it took.
        text: bytes after them that were looked up. A target id that reaches into them counts as
            one drafted id.
        searched: whether texts were looked up, with or without a find.
    """

    ids: list[int] = field(default_factory=list[int])
    confidences: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
    text: bytes = b""
    searched: bool = False


# Whether to draft one more id, given the probability that the assistant gave to the last one.
GoesOn = Callable[[float], bool]
