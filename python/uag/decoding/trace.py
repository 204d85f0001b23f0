"""A record of each round, id by id."""

from dataclasses import dataclass, field
from typing import Any

from uag._core import Edit, Proposal, Tokenizer, TreeProposal
from uag.translation.core_tokenizer import core_tokenizer
from uag.translation.protocol import Translator
from uag.translation.tokenizers import AnyTokenizer


@dataclass(frozen=True, slots=True)
class Step:
    """What one round did, in the ids of both vocabularies.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8, trace=True)
    >>> out.trace.steps[0].tokens == out.token_ids[: len(out.trace.steps[0].tokens)]
    True

    Attributes:
        draft: the drafted ids, in the assistant's vocabulary.
        candidates: the target ids for the draft and for looked-up text after it. The last few may
            have been left out of the target's forward pass (see `Round.candidates`).
        draft_ends: for each candidate, how many drafted ids are needed to spell it and those
            before it.
        cut: why the candidates end before the draft does (see `_core.Proposal.cut`; "failed" if
            the translation failed); empty if they do not.
        held: number of bytes at the end of the sequence that the assistant's ids did not include
            before the round.
        tokens: the target ids emitted.
        dropped: assistant ids that were rolled back: ids of the draft, and perhaps ids before it.
        dropped_before: how many of `dropped` came before the draft.
        feed: assistant ids that replaced them.
        cause: why ids were rolled back (see `_core.Edit.cause`).
    """

    draft: list[int]
    candidates: list[int]
    draft_ends: list[int]
    cut: str
    held: int
    tokens: list[int]
    dropped: list[int]
    dropped_before: int
    feed: list[int]
    cause: str


@dataclass(frozen=True, slots=True, repr=False)
class TracedModel:
    """What is needed of one of the two models to show its ids as text.

    Attributes:
        name: the model's name; empty if there is no model.
        core: the core's tokenizer, which gives the bytes of an id.
        tokenizer: the same tokenizer of `transformers` or `tokenizers`, which gives the names of
            special tokens.
        prompt: the prompt in its ids.
    """

    name: str
    core: Tokenizer
    tokenizer: AnyTokenizer
    prompt: list[int]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies without the core's tokenizer, which is made again where it arrives."""
        return _traced, (self.name, self.tokenizer, self.prompt)

    def __repr__(self) -> str:
        return f"TracedModel({self.name or 'none'}, {len(self.prompt)} ids of the prompt)"


def _traced(name: str, tokenizer: AnyTokenizer, prompt: list[int]) -> TracedModel:
    return TracedModel(name, core_tokenizer(tokenizer), tokenizer, prompt)


@dataclass(slots=True, repr=False)
class Trace:
    """All rounds of one generation, id by id; their times are in `Output.stats`.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8, trace=True)
    >>> [id for step in out.trace.steps for id in step.tokens] == out.token_ids
    True
    >>> len(out.trace.steps) == out.stats.rounds
    True

    Attributes:
        target, assistant: the two models.
        lookahead: the decoder's `lookahead` option, as text.
        conditions: number types, devices, threads and versions, and the date when it began.
        steps: one step for each round.
    """

    target: TracedModel
    assistant: TracedModel
    lookahead: str
    conditions: dict[str, Any]
    steps: list[Step] = field(default_factory=list[Step])

    def __repr__(self) -> str:
        return f"Trace({len(self.steps)} rounds, {self.target!r} <- {self.assistant!r})"

    def follow(self, translator: Translator) -> Translator:
        """A translator that does the same as `translator` and records each round here."""
        return _Followed(translator, self)


class _Followed:
    """A `Translator` that records each round in a trace, so that the loop need not know of it."""

    def __init__(self, translator: Translator, trace: Trace) -> None:
        self._translator = translator
        self._trace = trace
        self._ids = list(trace.assistant.prompt)
        self._held = translator.held
        self._draft: list[int] = []
        self._proposal: Proposal | None = None

    @property
    def held(self) -> int:
        return self._translator.held

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        self._draft = draft_ids
        self._proposal = self._translator.propose(draft_ids, text)
        return self._proposal

    def propose_tree(
        self, ids: list[int], parents: list[int], chances: list[float], held: list[int]
    ) -> TreeProposal | None:
        # The record is of the drafted ids. Others at their places show in `tokens` alone.
        self.propose([ids[node] for node in held])
        return self._translator.propose_tree(ids, parents, chances, held)

    def commit(self, target_ids: list[int]) -> Edit:
        edit = self._translator.commit(target_ids)
        proposal, length, feed = self._proposal, len(self._ids), edit.feed
        self._ids += self._draft
        self._trace.steps.append(
            Step(
                draft=self._draft,
                candidates=proposal.ids if proposal else [],
                draft_ends=proposal.draft_ends if proposal else [],
                cut=proposal.cut if proposal else "",
                held=self._held,
                tokens=target_ids,
                dropped=self._ids[edit.keep :],
                dropped_before=max(0, length - edit.keep),
                feed=feed,
                cause=edit.cause,
            )
        )
        self._ids[edit.keep :] = feed
        self._held = self._translator.held
        self._draft, self._proposal = [], None
        return edit
