"""One lookahead for several texts: in each round all of them draft, or none."""

from collections.abc import Callable
from dataclasses import dataclass

from uag.draft import GoesOn
from uag.lookahead.protocol import Lookahead, Sharing
from uag.stats import Round


@dataclass(slots=True)
class _Decision:
    """How many ids to draft in one round."""

    k: int


class InStep:
    """A lookahead that several texts share, which are verified in the same passes.

    A plain row saves little where another one has the pass be wide; what a pass costs could not be
    told either.
    """

    def __init__(self, lookahead: Lookahead, rows: Callable[[], int]) -> None:
        """`rows`: how many texts are under way."""
        self.lookahead = lookahead
        # Asked once: to look for a protocol's methods takes as long as all else here.
        self._sharing = lookahead if isinstance(lookahead, Sharing) else None
        self._rows = rows
        self._decision: _Decision | None = None

    def start(self) -> None:
        """A text begins; of several that are under way only the first counts."""
        if self._decision is None or self._rows() == 1:
            self._decision = None
            self.lookahead.start()

    def after(self, last: _Decision | None) -> _Decision:
        """The decision of the round behind the `last` one; the first to ask brings it about."""
        if self._decision is None or self._decision is last:
            if self._sharing is not None:
                self._sharing.share(self._rows())
            self._decision = _Decision(self.lookahead.next_k())
        return self._decision


class OfOne:
    """The lookahead of one of these texts."""

    def __init__(self, shared: InStep) -> None:
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
