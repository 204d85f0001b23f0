"""What is proposed in a round, and the question whether a draft should continue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

# A drafted id or another one at its place, and the chance that the assistant gives it there.
Scored = tuple[int, float]


@dataclass(frozen=True, slots=True)
class DraftTree:
    """Drafted ids with others at their places, of which a pass can verify several.

    The first nodes are the drafted ids, each after the one before it.

    >>> DraftTree.comb([[(5, 0.6), (7, 0.3)], [(6, 0.9)]])
    DraftTree(ids=[5, 6, 7], parents=[-1, 0, -1], chances=[0.6, 0.9, 0.3])

    Attributes:
        ids: the assistant's id of each node.
        parents: the index of the node that each follows, an earlier one; -1 for the end of the
            text.
        chances: the assistant's chance of each id after its parent.
    """

    ids: list[int]
    parents: list[int]
    chances: list[float]

    @classmethod
    def comb(cls, scored: Sequence[Sequence[Scored]]) -> Self:
        """A chain with siblings: for each place the drafted id, and then the others."""
        nodes = [(place - 1, *each[0]) for place, each in enumerate(scored)]
        nodes += [(place - 1, *other) for place, each in enumerate(scored) for other in each[1:]]
        return cls(
            [id for _, id, _ in nodes],
            [parent for parent, _, _ in nodes],
            [chance for _, _, chance in nodes],
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed continuation: ids in the assistant's vocabulary, then bytes that were looked up.

    >>> Draft().ids, Draft(text=b" upon a time").text
    ([], b' upon a time')

    Attributes:
        ids: drafted ids in the assistant's vocabulary; empty if there is nothing to propose.
        confidences: the probability of each drafted id, as estimated by what drafted it. A model
            gives them only if the lookahead asks; a lookup gives one for each target id.
        seconds: for each of `ids`, how long it took to draft; of the device, if it drafts alone.
            Empty if nobody knows.
        text: looked-up bytes that follow `ids`. Each target id that reaches into them counts as one
            drafted id.
        searched: whether a lookup was tried, even if it found nothing.
        tree: `ids` and others at their places; `None` where there is nothing but `ids`.
    """

    ids: list[int] = field(default_factory=list[int])
    confidences: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
    text: bytes = b""
    searched: bool = False
    tree: DraftTree | None = None


# Called with the assistant's probability of the id it drafted last; whether to draft one more.
GoesOn = Callable[[float], bool]
