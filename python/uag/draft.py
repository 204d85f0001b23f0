"""What is proposed in a round, and the question whether a draft should continue."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed continuation: ids in the assistant's vocabulary, then bytes that were looked up.

    >>> Draft().ids, Draft(text=b" upon a time").text
    ([], b' upon a time')

    Attributes:
        ids: drafted ids in the assistant's vocabulary; empty if there is nothing to propose.
        confidences: the probability of each drafted id, as estimated by what drafted it. A model
            gives them only if the lookahead asks; a lookup gives one for each target id.
        seconds: for each of `ids`, how long it took to draft.
        text: looked-up bytes that follow `ids`. Each target id that reaches into them counts as one
            drafted id.
        searched: whether a lookup was tried, even if it found nothing.
    """

    ids: list[int] = field(default_factory=list[int])
    confidences: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
    text: bytes = b""
    searched: bool = False


# Called with the assistant's probability of the id it drafted last; whether to draft one more.
GoesOn = Callable[[float], bool]
