"""The interface of a lookahead, for schedules of the user's own as well."""

from typing import Protocol, runtime_checkable

from uag.draft import GoesOn
from uag.stats import Round


class TreeJudge(Protocol):
    """Decides whether drafts are trees, and how many candidates to verify."""

    def branches(self) -> bool:
        """Whether the next draft is to come with others at its places."""
        ...

    def fit(self, ids: int, looked_up: bool) -> int:
        """How many ids to read where passes are padded to a few widths; see `Trees.fit`."""
        ...

    def prune(
        self, parents: list[int], chances: list[float], most: int, chain: list[int]
    ) -> tuple[list[float], int]:
        """For each candidate a weight, of which larger is better; and how many to verify.

        Args:
            parents: for each candidate, the index of the one that it follows, or -1.
            chances: for each, its chance after that one.
            most: how many there may be at most, unless they are `chain`.
            chain: the indices of those that may be verified without a tree.
        """
        ...


@runtime_checkable
class Lookahead(Protocol):
    """Chooses the number of ids to draft in each round, and is told how each round went.

    >>> import uag
    >>> isinstance(uag.Fixed(3), uag.Lookahead)
    True
    """

    def start(self) -> None:
        """A generation begins."""
        ...

    def next_k(self) -> int:
        """The most assistant ids to draft in the next round; 0 to decode plainly."""
        ...

    def goes_on(self) -> GoesOn | None:
        """A function for the next draft that decides after each id whether to continue.

        It is called with the assistant's probability of that id. `None`: draft `next_k()` ids
        without asking.
        """
        ...

    def update(self, done: Round) -> None:
        """A round has ended."""
        ...


@runtime_checkable
class Sharing(Lookahead, Protocol):
    """A lookahead that measures the cost of a pass, so it must know how many generations share it.

    >>> from uag.lookahead.auto import Auto
    >>> isinstance(Auto(), Sharing)
    True
    """

    def share(self, rows: int) -> None:
        """From now on each pass is shared by `rows` generations."""
        ...


def rests(lookahead: Lookahead) -> bool:
    """Whether it is known now that the next round will not be asked to draft either.

    Only a lookahead that says so knows it, and only between `next_k` and the next `update`.

    >>> import uag
    >>> rests(uag.Fixed(3))
    False
    """
    return bool(getattr(lookahead, "rests", False))


def pays(lookahead: Lookahead) -> bool:
    """Whether the next round will most likely be asked to draft if this one was.

    Only a lookahead that tries out what does not pay so far says that it will not.

    >>> import uag
    >>> pays(uag.Fixed(3))
    True
    """
    return bool(getattr(lookahead, "pays", True))
