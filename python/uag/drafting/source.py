"""The interface of a generation's draft source, and two sources: an assistant model, or nothing."""

from collections.abc import Callable
from typing import Protocol

from uag.draft import Draft, GoesOn
from uag.models.cached_lm import CachedLM, Score
from uag.sampling.greedy import Choice

# After so many drafts in a row of which nothing was right, the assistant's logits may be NaN.
DOUBTFUL = 3


class DraftSource(Protocol):
    """Proposes continuations of one generation: ids in the assistant's vocabulary, or text."""

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """Draft up to `k` ids; it may stop early where `goes_on`, called after each, is false."""
        ...

    def apply(self, keep: int, feed: list[int]) -> None:
        """Keep the first `keep` assistant ids, counting the last draft's, and then add `feed`."""
        ...

    def begin(self, k: int) -> bool:
        """Begin the next draft, which will probably be asked for `k` ids, while the host goes on.

        Call it after `apply`, or not at all. For 0 the assistant will surely not be asked.

        Returns:
            Whether there may be a draft.
        """
        del k
        return True

    def quiet(self, *, asked: bool) -> bool:
        """Whether the next draft will surely be empty, whatever is emitted now.

        `asked`: whether the assistant may be asked for it.
        """
        del asked
        return False


class ModelDrafts(DraftSource):
    """Drafts of an assistant model."""

    def __init__(
        self,
        lm: CachedLM,
        end_ids: frozenset[int],
        choice: Choice,
        readable: Callable[[list[int]], list[int]] = list[int],
        scoring: Callable[[], Score | None] | None = None,
    ) -> None:
        """Begin a generation.

        Args:
            lm: the assistant, which holds the prompt.
            end_ids: a draft stops after any of these.
            choice: called for each draft; returns the function that chooses its ids.
            readable: makes ids that the assistant has embeddings for of any.
            scoring: called for each draft, as `choice`; what finds other ids at the place of each
                drafted one, or `None` for a chain.
        """
        self._lm = lm
        self._end_ids = end_ids
        self._choice = choice
        self._readable = readable
        self._scoring = scoring
        self._wrong = DOUBTFUL  # how many drafts in a row had nothing right; the first is doubtful
        self._before = 0  # how many ids the sequence had before the last draft
        self._asks = False  # whether the last draft was asked for id by id
        self._begun: Choice | None = None  # gives what chooses the ids of a draft that was begun

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """See `DraftSource`.

        Raises:
            FloatingPointError: if the assistant's logits are NaN, so that it drafts nonsense.
        """
        if not self._lm.ids or not k:
            return Draft()
        self._before, self._asks = len(self._lm.ids), goes_on is not None
        score = self._scoring() if self._scoring is not None else None
        choice, self._begun = self._begun or self._choice, None
        draft = self._lm.draft(k, choice(), self._end_ids, goes_on, score)
        last = self._lm.last
        # Where drafts are right there is no NaN, and looking for it would wait for the device.
        if self._wrong >= DOUBTFUL and last is not None and bool(last.isnan().any()):
            raise FloatingPointError(
                f"the assistant's logits contain NaN; its weights or their number type "
                f"({last.dtype}) overflow: load it in float32 or bfloat16, or check its files"
            )
        return draft

    def apply(self, keep: int, feed: list[int]) -> None:
        self._wrong = self._wrong + 1 if keep <= self._before else 0
        self._begun = None
        self._lm.apply(keep, self._readable(feed))

    def begin(self, k: int) -> bool:
        alone = self._scoring is None and not self._asks
        if k and alone and self._lm.ids and self._lm.begins:
            choose = self._choice()
            self._begun = lambda: choose
            self._lm.begin(k, choose)
        return k > 0

    def quiet(self, *, asked: bool) -> bool:
        return not asked


class NoDrafts(DraftSource):
    """Proposes nothing: the target decodes plainly.

    >>> NoDrafts().draft(5).ids
    []
    """

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        del k, goes_on
        return Draft()

    def apply(self, keep: int, feed: list[int]) -> None:
        pass

    def begin(self, k: int) -> bool:
        del k
        return False

    def quiet(self, *, asked: bool) -> bool:
        del asked
        return True
