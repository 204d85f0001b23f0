"""What the decoding loop needs from a translation: candidates for a draft, and cache edits.

The core's `Translation` implements it. Other implementations wrap that one: they guard it against
errors, record what it does in a trace, or replace a step.
"""

from typing import Protocol

from uag._core import Edit, Proposal, TreeProposal


class Translator(Protocol):
    """One generation in both vocabularies, its prompt included."""

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """Candidates: target ids that spell the bytes of `draft_ids`, and then `text`."""
        ...

    def propose_tree(
        self, ids: list[int], parents: list[int], chances: list[float], held: list[int]
    ) -> TreeProposal | None:
        """Candidates for a tree of drafts; `None` for none. See the core's `Translation`."""
        ...

    def commit(self, target_ids: list[int]) -> Edit:
        """Add emitted target ids; returns what the assistant's KV cache must keep and be fed."""
        ...

    @property
    def held(self) -> int:
        """Number of bytes at the end of the generation that the assistant's ids do not cover yet.

        They belong to a character that the target has only begun.
        """
        ...
