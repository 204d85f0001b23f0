"""The interface of a generation's draft source, and two sources: an assistant model, or nothing."""

from collections.abc import Callable
from typing import Protocol

from uag.draft import Draft, GoesOn
from uag.models.cached_lm import CachedLM
from uag.sampling.greedy import Choice


class DraftSource(Protocol):
    """Proposes continuations of one generation: ids in the assistant's vocabulary, or text."""

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """Draft up to `k` ids; it may stop early where `goes_on`, called after each, is false."""
        ...

    def apply(self, keep: int, feed: list[int]) -> None:
        """Keep the first `keep` assistant ids, counting the last draft's, and then add `feed`."""
        ...


class ModelDrafts:
    """Drafts of an assistant model."""

    def __init__(
        self,
        lm: CachedLM,
        end_ids: frozenset[int],
        choice: Choice,
        readable: Callable[[list[int]], list[int]] = list[int],
    ) -> None:
        """Begin a generation.

        Args:
            lm: the assistant, which holds the prompt.
            end_ids: a draft stops after any of these.
            choice: called for each draft; returns the function that chooses its ids.
            readable: makes ids that the assistant has embeddings for of any.
        """
        self._readable = readable
        self._lm = lm
        self._end_ids = end_ids
        self._choice = choice

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        if not self._lm.ids or not k:
            return Draft()
        return self._lm.draft(k, self._choice(), self._end_ids, goes_on)

    def apply(self, keep: int, feed: list[int]) -> None:
        self._lm.apply(keep, self._readable(feed))


class NoDrafts:
    """Proposes nothing: the target decodes plainly.

    >>> NoDrafts().draft(5).ids
    []
    """

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        del k, goes_on
        return Draft()

    def apply(self, keep: int, feed: list[int]) -> None:
        pass
