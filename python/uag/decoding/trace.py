"""A record of each round, id by id."""

from dataclasses import dataclass, field
from typing import Any

from uag._core import Edit, Proposal, Tokenizer, TreeProposal
from uag.decoding.candidates import Candidates, Trees, path_along
from uag.draft import Draft
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
            have been left out of the target's forward pass (see `Round.candidates`). Of a tree,
            those that were accepted, and the likeliest that follow them.
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
        verified: of a tree, the target ids that were verified in one pass, each after the one that
            it follows; empty for a chain.
        parents: for each of `verified`, the index of the one that it follows; -1 for the end of the
            text.
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
    verified: list[int] = field(default_factory=list[int])
    parents: list[int] = field(default_factory=list[int])

    @property
    def path(self) -> list[int]:
        """Of a tree, which of `verified` are among `candidates`: the first ones of these.

        >>> out = decoder.generate("Once upon a time", max_new_tokens=8, trace=True)
        >>> out.trace.steps[0].path  # not a tree
        []
        """
        return path_along(self.parents, self.verified, self.candidates)


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
        tree: the decoder's `tree` option.
        conditions: number types, devices, threads and versions, and the date when it began.
        steps: one step for each round.
    """

    target: TracedModel
    assistant: TracedModel
    lookahead: str
    tree: int
    conditions: dict[str, Any]
    steps: list[Step] = field(default_factory=list[Step])

    def __repr__(self) -> str:
        return f"Trace({len(self.steps)} rounds, {self.target!r} <- {self.assistant!r})"

    def follow(self, translator: Translator, trees: Trees) -> tuple[Translator, Trees]:
        """Two that do the same as `translator` and `trees`, and record each round here."""
        followed = _Followed(translator, self)
        return followed, _FollowedTrees(trees.rank, trees.judge, trees.most, trees.fit, followed)


class _Followed:
    """A `Translator` that records each round in a trace, so that the loop need not know of it."""

    def __init__(self, translator: Translator, trace: Trace) -> None:
        self._translator = translator
        self._trace = trace
        self._ids = list(trace.assistant.prompt)
        self._held = translator.held
        self._draft: list[int] = []
        self._proposal: Proposal | TreeProposal | None = None
        self._verified: list[int] = []
        self._parents: list[int] = []

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
        self._draft = [ids[node] for node in held]
        self._proposal = self._translator.propose_tree(ids, parents, chances, held)
        return self._proposal

    def verify(self, found: Candidates) -> None:
        """What of the last proposal is verified."""
        if isinstance(self._proposal, TreeProposal):
            self._verified, self._parents = found.ids, [*found.parents]

    def commit(self, target_ids: list[int]) -> Edit:
        edit = self._translator.commit(target_ids)
        proposal, length, feed = self._proposal, len(self._ids), edit.feed
        if isinstance(proposal, TreeProposal):
            proposal = _along(proposal, self._verified, self._parents, target_ids)
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
                verified=self._verified,
                parents=self._parents,
            )
        )
        self._ids[edit.keep :] = feed
        self._held = self._translator.held
        self._draft, self._proposal = [], None
        self._verified, self._parents = [], []
        return edit


@dataclass(frozen=True, slots=True)
class _FollowedTrees(Trees):
    """Makes the same candidates as `Trees`, and says which are verified."""

    followed: _Followed

    def candidates(
        self, draft: Draft, translator: Translator, ids: list[int], room: int
    ) -> Candidates:
        found = Trees.candidates(self, draft, translator, ids, room)
        self.followed.verify(found)
        return found


def _along(
    tree: TreeProposal, verified: list[int], parents: list[int], tokens: list[int]
) -> Proposal:
    """The path of a tree that some tokens follow farthest, and on by the likeliest.

    What was `verified` goes before what was left out of the pass.
    """
    read = [verified[node] for node in _onward(parents, path_along(parents, verified, tokens))]
    path = _onward(tree.parents, path_along(tree.parents, tree.ids, read))
    ids, ends = tree.ids, tree.draft_ends
    return Proposal([ids[node] for node in path], [ends[node] for node in path], tree.cut)


def _onward(parents: list[int], path: list[int]) -> list[int]:
    """A path of a tree continued to an end of it, each time by the likeliest node, the first."""
    first: dict[int, int] = {}
    for node, parent in enumerate(parents):
        first.setdefault(parent, node)
    whole = [*path]
    while (node := first.get(whole[-1] if whole else -1)) is not None:
        whole.append(node)
    return whole
