"""Who proposes: an assistant model, or nobody."""

from typing import Protocol

from torch import Tensor

from uag.lm import CachedLM


class Drafter(Protocol):
    """Proposes ids, in the assistant's vocabulary, that may continue the text."""

    def draft(self, k: int) -> list[int]:
        """Up to `k` ids that continue the text; none if there is nothing to propose."""
        ...

    def apply(self, keep: int, feed: list[int]) -> None:
        """The text is now its first `keep` ids, counted with the last draft, followed by `feed`."""
        ...


class ModelDrafter:
    """Greedy continuation by an assistant model."""

    def __init__(self, lm: CachedLM, end_ids: frozenset[int]) -> None:
        """`lm` holds the prompt; a draft stops after the first of `end_ids`."""
        self._lm = lm
        self._end_ids = end_ids

    def draft(self, k: int) -> list[int]:
        if not self._lm.ids:
            return []
        ids = self._lm.roll(k, _greedy)
        end = next((index for index, id in enumerate(ids) if id in self._end_ids), len(ids))
        return ids[: end + 1]

    def apply(self, keep: int, feed: list[int]) -> None:
        self._lm.apply(keep, feed)


class NoDrafter:
    """Proposes nothing: the target decodes plainly."""

    def draft(self, k: int) -> list[int]:
        del k  # any number of ids is too many
        return []

    def apply(self, keep: int, feed: list[int]) -> None:
        pass


def _greedy(logits: Tensor) -> Tensor:
    """The most likely id: `[1, vocabulary]` -> `[1]`."""
    return logits.argmax(-1)
