"""Guards a generation's draft side: if it fails, the target continues alone."""

import warnings
from collections.abc import Callable
from sys import maxsize
from typing import TypeVar

from uag._core import Edit, Proposal, TreeProposal
from uag.draft import Draft, GoesOn
from uag.drafting.source import DraftSource, NoDrafts
from uag.errors import UagError, UagWarning
from uag.lookahead.protocol import Lookahead, pays, rests
from uag.stats import Round, Stats
from uag.translation.protocol import Translator

T = TypeVar("T")
FAILED = "failed"
REMEDY = 'to raise this instead, call warnings.simplefilter("error", uag.UagWarning)'


class FaultPolicy:
    """What happens to errors on the draft side in one call: raise them, or warn once.

    >>> import warnings
    >>> faults = FaultPolicy()
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     faults.warn("drafting failed")
    ...     faults.warn("drafting failed")
    >>> len(caught)
    1
    """

    def __init__(self, *, raised: bool = False) -> None:
        """`raised`: raise errors; needed where other processes would wait for this one."""
        self.raised = raised
        self._warned = False

    def warn(self, fault: str) -> None:
        """Warn of a fault, unless this call has already warned."""
        if not self._warned:
            self._warned = True
            warnings.warn(f"{fault}; the target goes on alone ({REMEDY})", UagWarning, stacklevel=2)


class GuardedDrafting(DraftSource):
    """A generation's draft source, translation and lookahead, each guarded against errors.

    After an error in any of them, nothing more is proposed. Decoding is plain from there on, so the
    output is still the target's. `Stats.assistant_error` says what failed. Two kinds of exception
    pass through: those that interrupt the program, and `UagError`, a mistake of the caller.
    """

    def __init__(
        self,
        begin: Callable[[], DraftSource],
        translator: Translator,
        lookahead: Lookahead,
        stats: Stats,
        faults: FaultPolicy,
    ) -> None:
        """Begin a generation.

        Args:
            begin: makes the source of the drafts.
            translator: the generation in both vocabularies.
            lookahead: chooses the number of ids to draft.
            stats: receives the error as `assistant_error`.
            faults: what happens to an error.
        """
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

    def begin(self, k: int) -> bool:
        """See `DraftSource`; `k`: how many ids were asked for in the last round."""
        expected = pays if k else rests
        if not expected(self._lookahead):
            return True  # nobody knows
        return self._try("drafting", lambda: self._source.begin(k), False)

    def quiet(self, *, asked: bool = True) -> bool:
        """See `DraftSource`; a lookahead that rests asks nobody."""
        asked = asked and not rests(self._lookahead)
        return self._try("drafting", lambda: self._source.quiet(asked=asked), True)

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """See `Translator`."""
        # What was drafted still counts as drafted; all of it is cut off.
        nothing = Proposal([], [], FAILED if draft_ids or text else "")
        return self._try("translation", lambda: self._translator.propose(draft_ids, text), nothing)

    def propose_tree(
        self, ids: list[int], parents: list[int], chances: list[float], held: list[int]
    ) -> TreeProposal | None:
        """See `Translator`."""
        return self._try(
            "translation", lambda: self._translator.propose_tree(ids, parents, chances, held), None
        )

    def commit(self, target_ids: list[int]) -> Edit:
        """See `Translator`."""
        nothing = Edit(maxsize, [])
        return self._try("translation", lambda: self._translator.commit(target_ids), nothing)

    @property
    def held(self) -> int:
        """See `Translator`."""
        return self._try("translation", lambda: self._translator.held, 0)

    def _try(self, part: str, call: Callable[[], T], otherwise: T) -> T:
        """The result of `call`; `otherwise` if it fails or something has failed before."""
        if self._stats.assistant_error:
            return otherwise
        try:
            return call()
        except UagError:
            raise
        except Exception as error:
            if self._faults.raised:
                raise
            fault = f"{part} failed: {described(error)}"
            # Free the assistant's states now: the error may be a lack of memory.
            self._source = NoDrafts()
            self._stats.assistant_error = fault
            self._faults.warn(fault)
            return otherwise


def described(error: Exception) -> str:
    """The error's type and the first line of its message.

    >>> described(ValueError("no such id"))
    'ValueError: no such id'
    """
    first = next(iter(str(error).strip().splitlines()), "")
    kind = type(error).__name__
    return f"{kind}: {first}" if first else kind
