"""What the loop asks of a translation: candidates for a draft, and cache edits for what is emitted.

The core's `Translation` is one. Others stand around it: they guard it against errors, enter what it
does into a trace, or replace a step.
"""

from typing import Protocol

from uag._core import Edit, Proposal


class Translator(Protocol):
    """One generation in both vocabularies, from its prompt on."""

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """The same bytes as candidates, in the target's ids."""
        ...

    def commit(self, target_ids: list[int]) -> Edit:
        """These ids were emitted: what the assistant's KV cache must keep and be fed."""
        ...

    @property
    def held(self) -> int:
        """Bytes at the end of the text that the assistant's ids leave out."""
        ...
