"""How many assistant ids to draft in the next round."""

from typing import Protocol, runtime_checkable

from uag.draft import GoesOn
from uag.stats import Round


@runtime_checkable
class Lookahead(Protocol):
    """Chooses the number of ids to draft, and is told how each round went.

    >>> import uag
    >>> isinstance(uag.Fixed(3), uag.Lookahead)
    True
    """

    def start(self) -> None:
        """A text begins."""
        ...

    def next_k(self) -> int:
        """Most assistant ids to draft in the coming round; 0 to decode plainly."""
        ...

    def goes_on(self) -> GoesOn | None:
        """For the coming draft, a function asked after each id; `None` to draft all `next_k()`."""
        ...

    def update(self, done: Round) -> None:
        """A round is done."""
        ...


@runtime_checkable
class Sharing(Lookahead, Protocol):
    """A lookahead that measures what passes cost, so it must know how many texts share them."""

    def share(self, rows: int) -> None:
        """From now on each pass is shared by `rows` texts."""
        ...
