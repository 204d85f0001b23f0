"""What a draft became: the target ids that a pass verifies, a chain or a tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from uag._core import Proposal, TreeProposal
from uag.decoding.verify import agreement, round_width
from uag.draft import Draft
from uag.limits import LARGEST_TREE
from uag.lookahead.protocol import TreeJudge
from uag.lookahead.rules.trees import Heaviest
from uag.sampling.ranking import Rank, by_weight
from uag.stats import Judged
from uag.translation.protocol import Translator


class Candidates(Protocol):
    """Target ids that continue the text.

    Attributes:
        ids: the candidates.
        parents: for each, the index of the one that it follows, or -1; `None` for a chain.
        drafted: how many ids were drafted, looked-up ones among them.
    """

    @property
    def ids(self) -> list[int]: ...

    @property
    def parents(self) -> Sequence[int] | None: ...

    @property
    def drafted(self) -> int: ...

    def path(self, tokens: list[int]) -> Sequence[int]:
        """The indices of the candidates that the first of `tokens` are."""
        ...

    def drafted_accepted(self, path: Sequence[int]) -> int:
        """How many drafted ids the candidates of a path spell."""
        ...

    def judged(self, path: Sequence[int], tokens: list[int]) -> Judged | None:
        """How they did; `None` for a chain, of which the path says it."""
        ...


@dataclass(frozen=True, slots=True)
class Chain:
    """The first `count` ids of a proposal.

    >>> chain = Chain(Draft([5, 6]), Proposal([7, 8], draft_ends=[1, 3]), 2)
    >>> chain.drafted, chain.path([7, 9]), chain.drafted_accepted(range(1))
    (3, range(0, 1), 1)
    """

    draft: Draft
    proposal: Proposal
    count: int
    parents: None = None

    @property
    def ids(self) -> list[int]:
        return self.proposal.ids[: self.count]

    @property
    def drafted(self) -> int:
        return max([len(self.draft.ids), *self.proposal.draft_ends[-1:]])

    def path(self, tokens: list[int]) -> Sequence[int]:
        return range(agreement(tokens, self.ids))

    def drafted_accepted(self, path: Sequence[int]) -> int:
        if len(path) == len(self.proposal.ids) and not self.proposal.cut:
            return self.drafted
        return self.proposal.draft_ends[len(path) - 1] if path else 0

    def judged(self, path: Sequence[int], tokens: list[int]) -> None:
        del path, tokens


@dataclass(frozen=True)
class Trie:
    """The chosen ids of a tree of drafts.

    Attributes:
        ids, parents: see `Candidates`.
        ends: for each, how many drafted ids its bytes reach into.
        chances: for each, its estimated chance after the one before it.
        chain: the indices of those that the drafted ids became.
        whole: how many the drafted ids became, chosen or not.
        drafted: how many ids were drafted.
        cut: why those end early; see `Proposal.cut`.
    """

    ids: list[int]
    parents: list[int]
    ends: list[int]
    chances: list[float]
    chain: list[int]
    whole: int
    drafted: int
    cut: str

    @cached_property
    def _places(self) -> dict[tuple[int, int], int]:
        return {each: at for at, each in enumerate(zip(self.parents, self.ids, strict=True))}

    def path(self, tokens: list[int]) -> Sequence[int]:
        found: list[int] = []
        node = -1
        for token in tokens:
            if (after := self._places.get((node, token))) is None:
                break
            found.append(node := after)
        return found

    def drafted_accepted(self, path: Sequence[int]) -> int:
        right = agreement([*path], self.chain)
        if right == self.whole and not self.cut:
            return self.drafted
        return self.ends[self.chain[right - 1]] if right else 0

    def judged(self, path: Sequence[int], tokens: list[int]) -> Judged:
        # Where the text ended with an accepted candidate, what follows it was not judged.
        depths = {node: depth for depth, node in enumerate([-1, *path][: len(tokens)])}
        choices = [
            (depths[parent], chance, at in path)
            for at, (parent, chance) in enumerate(zip(self.parents, self.chances, strict=True))
            if parent in depths
        ]
        return Judged(self.whole, len(self.chain), agreement([*path], self.chain), choices)


@dataclass(frozen=True, slots=True)
class Trees:
    """Makes candidates of drafts, also of those that are trees.

    Attributes:
        rank: how likely each candidate of a tree is.
        judge: how many of them are worth a place in the pass.
        most: the most that there may be.
    """

    rank: Rank = by_weight
    judge: TreeJudge = Heaviest(LARGEST_TREE)
    most: int = LARGEST_TREE

    def candidates(
        self, draft: Draft, translator: Translator, ids: list[int], room: int
    ) -> Candidates:
        """The candidates of a draft after `ids`, where up to `room` ids may follow."""
        if draft.tree is None:
            proposal = translator.propose(draft.ids, draft.text)
            return Chain(draft, proposal, round_width(min(len(proposal.ids) + 1, room)) - 1)
        tree, count = draft.tree, len(draft.ids)
        found = translator.propose_tree(tree.ids, tree.parents, tree.chances, [*range(count)])
        if found is None:
            return Chain(draft, Proposal([], [], "failed"), 0)
        return self._chosen(found, count, ids, min(self.most, room - 1))

    def _chosen(self, found: TreeProposal, drafted: int, ids: list[int], most: int) -> Trie:
        parents, chances = found.parents, self.rank(found, ids)
        weights, count = self.judge.prune(parents, chances, min(most, len(chances)))
        chosen = found.select(weights, count)
        places = {each: at for at, each in enumerate(zip(parents, found.ids, strict=True))}
        before: list[int] = []
        for parent, id in zip(chosen.parents, chosen.ids, strict=True):
            before.append(places[before[parent] if parent >= 0 else -1, id])
        chain = _chain(parents, found.nodes, drafted)
        return Trie(
            chosen.ids,
            chosen.parents,
            chosen.draft_ends,
            [chances[at] for at in before],
            [before.index(at) for at in chain if at in before],
            len(chain),
            drafted,
            found.cut,
        )


def _chain(parents: list[int], nodes: list[int], drafted: int) -> list[int]:
    """The candidates that the drafted ids, the first nodes, became.

    Candidates of other paths may end in some of these nodes too, but not in the last one.
    """
    ends = [(node, at) for at, node in enumerate(nodes) if 0 <= node < drafted]
    chain: list[int] = []
    at = max(ends, default=(-1, -1))[1]
    while at >= 0:
        chain.append(at)
        at = parents[at]
    return chain[::-1]
