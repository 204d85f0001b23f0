"""How many assistant ids to draft in the next round."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from uag.errors import OptionError


@runtime_checkable
class Lookahead(Protocol):
    """Chooses the number of ids to draft, and hears how each draft went."""

    def next_k(self) -> int:
        """Number of assistant ids to draft in the coming round, at least 1."""
        ...

    def update(self, drafted: int, accepted: int) -> None:
        """Hear that `accepted` of the `drafted` assistant ids agreed with the target."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Draft the same number of ids in every round.

    >>> Fixed(5).next_k()
    5
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise OptionError(
                f"lookahead is {self.k}, but a round drafts at least 1 id; "
                "to decode without drafts, pass assistant=None"
            )

    def next_k(self) -> int:
        return self.k

    def update(self, drafted: int, accepted: int) -> None:
        pass


@dataclass(slots=True)
class Heuristic:
    """Two more after a fully accepted draft, else one less: "heuristic" in transformers.

    >>> lookahead = Heuristic(start=5)
    >>> lookahead.update(drafted=5, accepted=5); lookahead.next_k()
    7
    >>> lookahead.update(drafted=7, accepted=3); lookahead.next_k()
    6
    """

    start: int = 20

    def __post_init__(self) -> None:
        # The same bound and message as a fixed number of drafts.
        Fixed(self.start)

    def next_k(self) -> int:
        return self.start

    def update(self, drafted: int, accepted: int) -> None:
        self.start = self.start + 2 if accepted == drafted else max(1, self.start - 1)


def lookahead_from(option: "int | str | Lookahead") -> Lookahead:
    """The schedule that a `lookahead=` option stands for.

    It is fresh for numbers and names, the object itself otherwise.

    Raises:
        OptionError: for a number below 1 or an unknown name.

    >>> lookahead_from(3)
    Fixed(k=3)
    """
    match option:
        case bool():
            pass
        case int():
            return Fixed(option)
        case "heuristic":
            return Heuristic()
        case Lookahead():
            return option
        case _:
            pass
    raise OptionError(
        f"lookahead is {option!r}; give the number of ids to draft (5), 'heuristic', "
        "or an object with next_k() and update(drafted, accepted)"
    )
