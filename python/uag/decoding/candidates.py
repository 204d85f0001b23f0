"""What a draft became: the target ids that a pass verifies, a chain or a tree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from uag._core import Proposal, TreeProposal
from uag.decoding.verify import agreement, round_width
from uag.draft import Draft
from uag.limits import LARGEST_TREE
from uag.lookahead.protocol import TreeJudge
from uag.lookahead.rules.trees import Heaviest
from uag.models.cached_lm import Score
from uag.sampling.ranking import Rank, by_weight
from uag.stats import Judged
from uag.translation.protocol import Translator

# See `Trees.fit`.
Fit = Callable[[int, bool], int]


class Candidates(Protocol):
    """Target ids that continue the text.

    Attributes:
        ids: the candidates.
        parents: for each, the index of the one that it follows, or -1.
        drafted: how many ids were drafted, looked-up ones among them.
    """

    @property
    def ids(self) -> list[int]: ...

    @property
    def parents(self) -> Sequence[int]: ...

    @property
    def drafted(self) -> int: ...

    def path(self, tokens: list[int]) -> Sequence[int]:
        """The indices of the candidates that the first of `tokens` are."""
        ...

    def drafted_accepted(self, tokens: list[int]) -> int:
        """How many drafted ids agree with the emitted `tokens`."""
        ...

    def judged(self, tokens: list[int]) -> Judged | None:
        """How they did; `None` for a chain, of which the path says it."""
        ...


@dataclass(frozen=True, slots=True)
class Chain:
    """The first `count` ids of a proposal.

    >>> chain = Chain(Draft([5, 6]), Proposal([7, 8], draft_ends=[1, 3]), 2)
    >>> chain.drafted, chain.path([7, 9]), chain.drafted_accepted([7, 9])
    (3, range(0, 1), 1)
    """

    draft: Draft
    proposal: Proposal
    count: int

    @property
    def ids(self) -> list[int]:
        return self.proposal.ids[: self.count]

    @property
    def parents(self) -> Sequence[int]:
        return range(-1, len(self.ids) - 1)

    @property
    def drafted(self) -> int:
        return max([len(self.draft.ids), *self.proposal.draft_ends[-1:]])

    def path(self, tokens: list[int]) -> Sequence[int]:
        return range(agreement(tokens, self.ids))

    def drafted_accepted(self, tokens: list[int]) -> int:
        accepted = agreement(tokens, self.ids)
        if accepted == len(self.proposal.ids) and not self.proposal.cut:
            return self.drafted
        return self.proposal.draft_ends[accepted - 1] if accepted else 0

    def judged(self, tokens: list[int]) -> None:
        del tokens


@dataclass(frozen=True, slots=True)
class Trie:
    """Chosen candidates of a tree of drafts.

    What the target emits judges the others as well, as far as it follows them.

    Attributes:
        ids, parents, drafted: see `Candidates`.
        whole: all candidates of the tree.
        chances: for each of those, its estimated chance after the one before it.
        chain: the indices of those that the drafted ids became.
    """

    ids: list[int]
    parents: list[int]
    drafted: int
    whole: TreeProposal
    chances: list[float]
    chain: list[int]

    def path(self, tokens: list[int]) -> Sequence[int]:
        return path_along(self.parents, self.ids, tokens)

    def drafted_accepted(self, tokens: list[int]) -> int:
        right = self._right(tokens)
        if right == len(self.chain) and not self.whole.cut:
            return self.drafted
        return self.whole.draft_ends[self.chain[right - 1]] if right else 0

    def judged(self, tokens: list[int]) -> Judged:
        parents = self.whole.parents
        path = path_along(parents, self.whole.ids, tokens)
        # What follows the last of the tokens was not judged.
        depths = {node: depth for depth, node in enumerate([-1, *path][: len(tokens)])}
        choices = [
            (depths[parent], chance, at in path)
            for at, (parent, chance) in enumerate(zip(parents, self.chances, strict=True))
            if parent in depths
        ]
        branches = self.parents != [*range(-1, len(self.ids) - 1)]
        return Judged(len(self.chain), self._right(tokens), choices, branches=branches)

    def _right(self, tokens: list[int]) -> int:
        """How many candidates of the chain the tokens begin with."""
        ids = self.whole.ids
        return agreement(tokens, [ids[at] for at in self.chain])


@dataclass(frozen=True, slots=True)
class Trees:
    """Makes candidates of drafts, also of those that are trees.

    Attributes:
        rank: how likely each candidate of a tree is.
        judge: how many of them are worth a place in the pass.
        most: the most that there may be.
        fit: how many of so many ids a pass reads, the one before a draft included; and whether the
            draft was looked up.
    """

    rank: Rank
    judge: TreeJudge
    most: int
    fit: Fit

    def scoring(self, score: Score | None) -> Score | None:
        """`score` if the next draft is to be a tree, else `None`."""
        return score if self.judge.branches() else None

    def candidates(
        self, draft: Draft, translator: Translator, ids: list[int], room: int
    ) -> Candidates:
        """The candidates of a draft after `ids`, where up to `room` ids may follow."""
        if draft.tree is None:
            proposal = translator.propose(draft.ids, draft.text)
            read = self.fit(min(len(proposal.ids) + 1, room), bool(draft.text))
            return Chain(draft, proposal, read - 1)
        tree, count = draft.tree, len(draft.ids)
        found = translator.propose_tree(tree.ids, tree.parents, tree.chances, [*range(count)])
        if found is None:
            return Chain(draft, Proposal([], [], "failed"), 0)
        return self._chosen(found, count, ids, room)

    def _chosen(self, found: TreeProposal, drafted: int, ids: list[int], room: int) -> Trie:
        parents, chances = found.parents, self.rank(found, ids)
        chain = _chain(parents, found.nodes, drafted)
        length = self.fit(min(len(chain) + 1, room), False) - 1
        most = min(self.most, room - 1, len(chances))
        weights, count = self.judge.prune(parents, chances, most, chain[:length])
        chosen = found.select(weights, count)
        return Trie(chosen.ids, chosen.parents, drafted, found, chances, chain)


def usual(ids: int, looked_up: bool) -> int:
    """The `Fit` of passes that set kernels up for each number of ids: only a few numbers."""
    del looked_up
    return round_width(ids)


# What is likeliest is verified, and no tree is refused.
ANY = Trees(by_weight, Heaviest(LARGEST_TREE), LARGEST_TREE, usual)


def path_along(parents: list[int], ids: list[int], tokens: list[int]) -> list[int]:
    """The nodes of a trie that the first of `tokens` are.

    >>> path_along([-1, 0, 0], [5, 6, 7], [5, 7, 9])
    [0, 2]
    """
    places = {each: at for at, each in enumerate(zip(parents, ids, strict=True))}
    path: list[int] = []
    for token in tokens:
        if (node := places.get((path[-1] if path else -1, token))) is None:
            break
        path.append(node)
    return path


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
