"""All that a text has of its assistant; where it fails, the target decodes on by itself."""

import warnings
from collections.abc import Callable
from sys import maxsize
from typing import NamedTuple, TypeVar, cast

from uag._core import Edit, Proposal, Sequence
from uag.draft import Draft, GoesOn
from uag.drafting.source import Drafter, NoDrafter
from uag.errors import UagError, UagWarning
from uag.lookahead.protocol import Lookahead
from uag.stats import Round, Stats

T = TypeVar("T")
FAILED = "failed"
REMEDY = 'to have it raised, warnings.simplefilter("error", uag.UagWarning)'


class NoProposal(NamedTuple):
    """A `_core.Proposal` of nothing."""

    ids: list[int]
    draft_ends: list[int]
    cut: str = ""


class NoEdit(NamedTuple):
    """A `_core.Edit` that leaves everything as it is."""

    keep: int
    feed: list[int]
    cause: str = ""


class Faults:
    """What becomes of errors on the assistants' side in one call: one warning for all its texts."""

    def __init__(self, *, raised: bool = False) -> None:
        """`raised`: whether they are raised, as they must be where other processes wait."""
        self.raised = raised
        self._warned = False

    def warn(self, fault: str) -> None:
        """Tell the user, the first time."""
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{fault}; the target goes on by itself ({REMEDY})", UagWarning, stacklevel=2
            )


class Assistance:
    """A text's drafts, their translation and the lookahead: a `Drafter`, `Sequence`, `Lookahead`.

    An error in any of them ends all of them: from there on nothing is proposed, which decodes
    plainly, so the output stays the target's. `Stats.assistant_error` says what happened. What
    interrupts a program is no error, and a mistake in how this package is used (`UagError`) isn't
    one of the assistant's.
    """

    def __init__(
        self,
        begin: Callable[[], Drafter],
        sequence: Sequence,
        lookahead: Lookahead,
        stats: Stats,
        faults: Faults,
    ) -> None:
        """`begin` makes the text's drafter."""
        self._sequence = sequence
        self._lookahead = lookahead
        self._stats = stats
        self._faults = faults
        self._drafter: Drafter = NoDrafter()
        self._drafter = self._try("drafting", begin, self._drafter)

    @property
    def sequence(self) -> Sequence:
        """Itself, which translates as a `_core.Sequence` does."""
        return cast("Sequence", self)

    def start(self) -> None:
        self._try("the lookahead", self._lookahead.start, None)

    def next_k(self) -> int:
        return self._try("the lookahead", self._lookahead.next_k, 0)

    def goes_on(self) -> GoesOn | None:
        return self._try("the lookahead", self._lookahead.goes_on, None)

    def update(self, done: Round) -> None:
        self._try("the lookahead", lambda: self._lookahead.update(done), None)

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        return self._try("drafting", lambda: self._drafter.draft(k, goes_on), Draft())

    def apply(self, keep: int, feed: list[int]) -> None:
        self._try("drafting", lambda: self._drafter.apply(keep, feed), None)

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """See `_core.Sequence`."""
        # What was drafted counts as drafted, and is cut off.
        nothing = cast("Proposal", NoProposal([], [], FAILED if draft_ids or text else ""))
        return self._try("translation", lambda: self._sequence.propose(draft_ids, text), nothing)

    def commit(self, target_ids: list[int]) -> Edit:
        """See `_core.Sequence`."""
        nothing = cast("Edit", NoEdit(maxsize, []))
        return self._try("translation", lambda: self._sequence.commit(target_ids), nothing)

    @property
    def target_ids(self) -> list[int]:
        """See `_core.Sequence`; so are the next two."""
        return self._sequence.target_ids

    @property
    def assistant_ids(self) -> list[int]:
        return self._sequence.assistant_ids

    @property
    def held(self) -> int:
        # Sampling by rejection doesn't tell.
        return self._try("translation", lambda: getattr(self._sequence, "held", 0), 0)

    def _try(self, part: str, ask: Callable[[], T], otherwise: T) -> T:
        if self._stats.assistant_error:
            return otherwise
        try:
            return ask()
        except UagError:
            raise
        except Exception as error:
            if self._faults.raised:
                raise
            fault = f"{part} failed: {_described(error)}"
            # Its states are dropped now: memory may be what is missing.
            self._drafter = NoDrafter()
            self._stats.assistant_error = fault
            self._faults.warn(fault)
            return otherwise


def _described(error: Exception) -> str:
    """In one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    kind = type(error).__name__
    return f"{kind}: {first}" if first else kind
