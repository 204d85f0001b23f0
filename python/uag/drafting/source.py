"""Where a generation's drafts come from: an assistant model, or nothing."""

from typing import Protocol

from uag.draft import Draft, GoesOn
from uag.models.cached_lm import CachedLM
from uag.sampling.greedy import Choice


class DraftSource(Protocol):
    """Proposes ids, in the assistant's vocabulary, that may continue the text."""

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """Up to `k` ids that continue the text, or until `goes_on`, asked after each, says no."""
        ...

    def apply(self, keep: int, feed: list[int]) -> None:
        """The text is now its first `keep` ids, counted with the last draft, followed by `feed`."""
        ...


class ModelDrafts:
    """Drafts of an assistant model."""

    def __init__(self, lm: CachedLM, end_ids: frozenset[int], choice: Choice) -> None:
        """`lm` holds the prompt; a draft stops after the first of `end_ids`.

        `choice` gives each draft its way to choose ids.
        """
        self._lm = lm
        self._end_ids = end_ids
        self._choice = choice

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        if not self._lm.ids or not k:
            return Draft()
        return self._lm.draft(k, self._choice(), self._end_ids, goes_on)

    def apply(self, keep: int, feed: list[int]) -> None:
        self._lm.apply(keep, feed)


class NoDrafts:
    """Proposes nothing: the target decodes plainly."""

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        del k, goes_on  # any number of ids is too many
        return Draft()

    def apply(self, keep: int, feed: list[int]) -> None:
        pass
