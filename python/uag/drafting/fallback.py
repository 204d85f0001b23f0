"""A generation's draft side, guarded: where it fails, the target decodes on alone."""

import warnings
from collections.abc import Callable
from sys import maxsize
from typing import TypeVar

from uag._core import Edit, Proposal
from uag.draft import Draft, GoesOn
from uag.drafting.source import DraftSource, NoDrafts
from uag.errors import UagError, UagWarning
from uag.lookahead.protocol import Lookahead
from uag.stats import Round, Stats
from uag.translation.protocol import Translator

T = TypeVar("T")
FAILED = "failed"
REMEDY = 'to have it raised, warnings.simplefilter("error", uag.UagWarning)'


class FaultPolicy:
    """What becomes of errors on the draft side in one call: one warning for all its texts."""

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


class GuardedDrafting:
    """A generation's drafts, their translation and its lookahead, each guarded against errors.

    An error in any of them ends all of them: from there on nothing is proposed, which decodes
    plainly, so the output stays the target's. `Stats.assistant_error` says what happened. What
    interrupts a program is no error, and a mistake in how this package is used (`UagError`) isn't
    one of the assistant's.
    """

    def __init__(
        self,
        begin: Callable[[], DraftSource],
        translator: Translator,
        lookahead: Lookahead,
        stats: Stats,
        faults: FaultPolicy,
    ) -> None:
        """`begin` makes the source of the drafts."""
        self._translator = translator
        self._lookahead = lookahead
        self._stats = stats
        self._faults = faults
        self._source: DraftSource = NoDrafts()
        self._source = self._try("drafting", begin, self._source)

    def start(self) -> None:
        self._try("the lookahead", self._lookahead.start, None)

    def next_k(self) -> int:
        return self._try("the lookahead", self._lookahead.next_k, 0)

    def goes_on(self) -> GoesOn | None:
        return self._try("the lookahead", self._lookahead.goes_on, None)

    def update(self, done: Round) -> None:
        self._try("the lookahead", lambda: self._lookahead.update(done), None)

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        return self._try("drafting", lambda: self._source.draft(k, goes_on), Draft())

    def apply(self, keep: int, feed: list[int]) -> None:
        self._try("drafting", lambda: self._source.apply(keep, feed), None)

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """See `Translator`."""
        # What was drafted counts as drafted, and is cut off.
        nothing = Proposal([], [], FAILED if draft_ids or text else "")
        return self._try("translation", lambda: self._translator.propose(draft_ids, text), nothing)

    def commit(self, target_ids: list[int]) -> Edit:
        """See `Translator`."""
        nothing = Edit(maxsize, [])
        return self._try("translation", lambda: self._translator.commit(target_ids), nothing)

    @property
    def held(self) -> int:
        """See `Translator`."""
        return self._try("translation", lambda: self._translator.held, 0)

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
            self._source = NoDrafts()
            self._stats.assistant_error = fault
            self._faults.warn(fault)
            return otherwise


def _described(error: Exception) -> str:
    """In one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    kind = type(error).__name__
    return f"{kind}: {first}" if first else kind
