"""What happened in each round, id by id."""

from dataclasses import dataclass, field

from uag import _core
from uag._core import Edit, Proposal
from uag.translation.protocol import Translator
from uag.translation.tokenizers import AnyTokenizer


@dataclass(frozen=True, slots=True)
class Step:
    """What a round did to the text in both vocabularies.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8, trace=True)
    >>> out.trace.steps[0].tokens == out.token_ids[: len(out.trace.steps[0].tokens)]
    True

    Attributes:
        draft: assistant ids drafted.
        candidates: target ids that they translate to, and text that was looked up; a few at the
            end may not have been read.
        draft_ends: for each candidate, how many drafted ids its bytes reach into.
        cut: why the candidates end before the draft does (`_core.Proposal.cut`, or "failed").
        held: bytes at the end of the text that the assistant's ids left out before the round.
        tokens: target ids emitted.
        dropped: assistant ids that did not stay: of the draft, and of the text before it.
        dropped_before: how many of those were in the text before the draft.
        feed: assistant ids that took their place.
        cause: why ids were dropped (`_core.Edit.cause`).
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


@dataclass(frozen=True, slots=True)
class TracedModel:
    """One of the two models, as far as it takes to read its ids.

    Attributes:
        name: of the model; empty if there is none.
        core: its tokenizer, to the core.
        tokenizer: its tokenizer, which knows the names of special tokens.
        prompt: the ids of the prompt.
    """

    name: str
    core: _core.Tokenizer
    tokenizer: AnyTokenizer
    prompt: list[int]


@dataclass(slots=True)
class Trace:
    """The rounds of one text; what they took is in the `Stats` of the same `Output`.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8, trace=True)
    >>> [id for step in out.trace.steps for id in step.tokens] == out.token_ids
    True
    >>> len(out.trace.steps) == out.stats.rounds
    True

    Attributes:
        target, assistant: whose ids they are.
        lookahead: how the number of drafted ids was chosen.
        steps: a step for each round.
    """

    target: TracedModel
    assistant: TracedModel
    lookahead: str
    steps: list[Step] = field(default_factory=list[Step])

    def follow(self, translator: Translator) -> Translator:
        """The same translator, which enters what it is asked."""
        return _Followed(translator, self)


class _Followed:
    """A `Translator` that enters each round into a trace: the loop itself knows nothing of it."""

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
