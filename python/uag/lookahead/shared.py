"""One lookahead for a batch: in each round all of its rows draft, or none does."""

from collections.abc import Callable
from dataclasses import dataclass

from uag.draft import GoesOn
from uag.lookahead.protocol import Lookahead, Sharing, pays, rests
from uag.stats import Round


@dataclass(slots=True)
class _Decision:
    """The number of ids to draft in one round."""

    k: int


class SharedLookahead:
    """One lookahead for several generations that are verified in the same passes.

    If any row drafts, the pass is wide for every row. A row that does not draft then saves almost
    nothing, and what a pass of mixed rows costs cannot be measured. So in each round all rows draft
    or none does.
    """

    def __init__(self, lookahead: Lookahead, rows: Callable[[], int]) -> None:
        """`rows` returns the number of generations that are decoded at the moment."""
        self.lookahead = lookahead
        # Checked only once: isinstance on a protocol takes as long as everything else here.
        self._sharing = lookahead if isinstance(lookahead, Sharing) else None
        self._rows = rows
        self._decision: _Decision | None = None

    def start(self) -> None:
        """A generation begins; of several at the same time, only the first starts the lookahead."""
        if self._decision is None or self._rows() == 1:
            self._decision = None
            self.lookahead.start()

    def after(self, last: _Decision | None) -> _Decision:
        """The decision for the round after `last`, made when the first generation asks for it."""
        if self._decision is None or self._decision is last:
            if self._sharing is not None:
                self._sharing.share(self._rows())
            self._decision = _Decision(self.lookahead.next_k())
        return self._decision


class RowLookahead:
    """The lookahead of one row, which takes its decisions from a `SharedLookahead`.

    >>> from uag.lookahead.schedules import Fixed
    >>> shared = SharedLookahead(Fixed(4), rows=lambda: 2)
    >>> first, second = RowLookahead(shared), RowLookahead(shared)
    >>> first.next_k(), second.next_k()
    (4, 4)
    """

    def __init__(self, shared: SharedLookahead) -> None:
        self._shared = shared
        self._last: _Decision | None = None

    def start(self) -> None:
        self._shared.start()

    def next_k(self) -> int:
        self._last = self._shared.after(self._last)
        return self._last.k

    def goes_on(self) -> GoesOn | None:
        return self._shared.lookahead.goes_on()

    def update(self, done: Round) -> None:
        self._shared.lookahead.update(done)

    @property
    def rests(self) -> bool:
        """See `Auto.rests`."""
        return rests(self._shared.lookahead)

    @property
    def pays(self) -> bool:
        """See `Auto.pays`."""
        return pays(self._shared.lookahead)
