"""What an assistant proposes."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Draft:
    """Ids, in the assistant's vocabulary, that may continue the text.

    Attributes:
        ids: none if there is nothing to propose.
        confidences: the assistant's probability of each, where the lookahead asks for it.
        seconds: for each, what it took.
    """

    ids: list[int] = field(default_factory=list[int])
    confidences: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
