"""`Translation.propose_tree`, against a trie of what `propose` makes of each path."""

import math
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.real_tokenizer import RealTokenizer
from tests.support.texts import NAMES, real, texts
from uag import _core

Path = tuple[int, ...]


@dataclass
class Tree:
    """A tree of drafts, in lists that grow."""

    ids: list[int] = field(default_factory=list[int])
    parents: list[int] = field(default_factory=list[int])
    chances: list[float] = field(default_factory=list[float])
    held: list[int] = field(default_factory=list[int])
    text: bytes = b""
    text_chances: list[float] = field(default_factory=list[float])

    def add(self, id: int, parent: int, chance: float) -> int:
        self.ids.append(id)
        self.parents.append(parent)
        self.chances.append(chance)
        return len(self.ids) - 1

    def path(self, node: int) -> list[int]:
        """The nodes from the end of the text to `node`."""
        return [] if node < 0 else [*self.path(self.parents[node]), node]

    def children(self, node: int) -> list[int]:
        return [child for child, parent in enumerate(self.parents) if parent == node]

    def depth_first(self, node: int = -1) -> list[int]:
        return [each for child in self.children(node) for each in (child, *self.depth_first(child))]

    def passes(self, node: int) -> float:
        return math.prod(self.chances[each] for each in self.path(node))

    def ask(self, sequence: _core.Translation) -> _core.TreeProposal:
        return sequence.propose_tree(
            self.ids, self.parents, self.chances, self.held, self.text, self.text_chances
        )


@dataclass
class Candidate:
    weight: float
    node: int
    draft_end: int


def expected(sequence: _core.Translation, tree: Tree) -> tuple[dict[Path, Candidate], str]:
    """The trie, with each candidate's path as its key, and the cut."""
    trie: dict[Path, Candidate] = {}
    kept: set[Path] = set()
    cut = None
    for node in tree.depth_first():
        path, children = tree.path(node), tree.children(node)
        proposal = sequence.propose([tree.ids[each] for each in path])
        mass = max(0, tree.passes(node) - sum(tree.passes(child) for child in children))
        for size, end in enumerate(proposal.draft_ends, 1):
            key = tuple(proposal.ids[:size])
            trie.setdefault(key, Candidate(0.0, path[end - 1], end)).weight += mass
            if not children:
                kept.add(key)
        if not children and cut is None:
            cut = proposal.cut
    looked_up = sequence.propose([], tree.text).ids[: len(tree.text_chances)]
    for size in range(1, len(looked_up) + 1):
        key = tuple(looked_up[:size])
        before = trie[key[:-1]].draft_end if size > 1 else 0
        candidate = trie.setdefault(key, Candidate(0.0, -1, before + 1))
        candidate.weight = max(candidate.weight, math.prod(tree.text_chances[:size]))
        kept.add(key)
    return {key: trie[key] for key in trie if key in kept}, cut or ""


def paths(proposal: _core.TreeProposal) -> list[Path]:
    found: list[Path] = []
    for id, parent in zip(proposal.ids, proposal.parents, strict=True):
        found.append((*(found[parent] if parent >= 0 else ()), id))
    return found


def check_order(proposal: _core.TreeProposal) -> None:
    """Depth first; of siblings the heaviest first; none is heavier than its parent."""
    weights, parents = proposal.weights, proposal.parents
    branch: list[int] = []
    for node, parent in enumerate(parents):
        while branch and branch[-1] != parent:
            branch.pop()
        assert parent == (branch[-1] if branch else -1), "after its parent's other descendants"
        assert parent < 0 or weights[node] <= weights[parent]
        branch.append(node)
    for parent in {*parents}:
        siblings = [weights[node] for node, each in enumerate(parents) if each == parent]
        assert siblings == sorted(siblings, reverse=True)
    found = paths(proposal)
    assert len({*found}) == len(found)


def check(sequence: _core.Translation, tree: Tree) -> _core.TreeProposal:
    trie, cut = expected(sequence, tree)
    proposal = tree.ask(sequence)
    check_order(proposal)
    found = paths(proposal)
    assert {*found} == {*trie}
    assert proposal.cut == cut
    for at, key in enumerate(found):
        assert proposal.weights[at] == pytest.approx(trie[key].weight, rel=1e-12, abs=1e-15)
        assert proposal.nodes[at] == trie[key].node
        assert proposal.draft_ends[at] == trie[key].draft_end
    return proposal


def check_best(proposal: _core.TreeProposal, most: int) -> None:
    best = proposal.best(most)
    check_order(best)
    assert len(best.ids) == min(most, len(proposal.ids))
    assert sorted(best.weights) == sorted(sorted(proposal.weights, reverse=True)[:most])
    known = dict(
        zip(paths(proposal), zip(proposal.nodes, proposal.draft_ends, strict=True), strict=True)
    )
    for key, node, end in zip(paths(best), best.nodes, best.draft_ends, strict=True):
        assert known[key] == (node, end)


class Drafter:
    """Draws trees over what follows a text."""

    def __init__(
        self, rng: Random, assistant: RealTokenizer, ends: list[tuple[int, int]], rest: str
    ) -> None:
        self._rng = rng
        self._assistant = assistant
        self._right = assistant.encode(rest[:40])[:12]
        self._odd = [*assistant.specials, max(assistant.plain) + 7, *(end for _, end in ends)]
        self._bytes = [id for id, data in assistant.bytes.items() if len(data) == 1]

    def tree(self, target: RealTokenizer, rest: str) -> Tree:
        rng, tree = self._rng, Tree()
        for _ in range(rng.randrange(30)):
            # Mostly deep: a chain with siblings.
            size = len(tree.ids)
            parent = size - 1 if rng.random() < 0.5 else rng.randrange(-1, size)
            chance = rng.choice([rng.random(), rng.random() / 4, 0.0, 1.0])
            tree.add(self._id(len(tree.path(parent))), parent, chance)
        if tree.ids and rng.random() < 0.8:
            nodes = tree.path(rng.randrange(len(tree.ids)))
            tree.held = nodes[: rng.randrange(len(nodes) + 1)]
        if rng.random() < 0.4:
            tree.text = rest[: rng.randrange(30)].encode() + bytes(
                rng.choices(range(256), k=rng.choice([0, 0, 0, 3]))
            )
            tree.text_chances = [rng.random() for _ in range(rng.randrange(len(target.plain) % 9))]
        return tree

    def _id(self, depth: int) -> int:
        roll = self._rng.random()
        if roll < 0.6 and depth < len(self._right):
            return self._right[depth]
        if roll < 0.7 and self._bytes:
            return self._rng.choice(self._bytes)
        if roll < 0.75:
            return self._rng.choice(self._odd)
        return self._rng.choice(self._assistant.plain)


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), texts, st.integers(0, 2**32))
def test_rounds_with_trees(target_name: str, assistant_name: str, text: str, seed: int) -> None:
    target, assistant, rng = real(target_name), real(assistant_name), Random(seed)
    ends = [(target.specials[-1], assistant.specials[-1])]
    bridge = _core.Bridge(target.core, assistant.core, ends)
    prompt, rest = text[: len(text) // 2], text[len(text) // 2 :]
    start = target.encode(prompt), assistant.encode(prompt)
    sequence, plain = bridge.start(*start), bridge.start(*start)
    for _ in range(4):
        tree = Drafter(rng, assistant, ends, rest).tree(target, rest)
        proposal = check(sequence, tree)
        check_best(proposal, rng.randrange(len(proposal.ids) + 2))
        again = tree.ask(sequence)
        assert repr(again) == repr(proposal), "asking again changes nothing"
        cached = sequence.assistant_ids + [tree.ids[node] for node in tree.held]
        accepted = rng.choice([(), *paths(proposal)])
        emitted = [*accepted, *rng.choices(target.plain, k=rng.randrange(3))]
        edit = sequence.commit(emitted)
        plain.commit(emitted)
        assert sequence.target_ids == plain.target_ids
        assert sequence.assistant_ids == plain.assistant_ids == cached[: edit.keep] + edit.feed
        assert not edit.feed or edit.feed[:1] != cached[edit.keep :][:1], (
            "nothing is fed that stays"
        )
        assert (edit.cause == "") == (edit.keep == len(cached))


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), texts, st.integers(0, 2**32))
def test_a_chain_is_a_draft(target_name: str, assistant_name: str, text: str, seed: int) -> None:
    target, assistant, rng = real(target_name), real(assistant_name), Random(seed)
    ends = [(target.specials[-1], assistant.specials[-1])]
    sequence = _core.Bridge(target.core, assistant.core, ends).start(
        target.encode(text), assistant.encode(text)
    )
    draft = [
        *assistant.encode(rng.choice(text.split() or ["a"]))[:4],
        *rng.choices([*assistant.plain, ends[0][1], *assistant.specials], k=rng.randrange(5)),
    ]
    chances = [rng.random() for _ in draft]
    proposal = sequence.propose(draft)
    tree = sequence.propose_tree(draft, [*range(-1, len(draft) - 1)], chances)
    assert tree.ids == proposal.ids
    assert tree.parents == [*range(-1, len(tree.ids) - 1)]
    assert tree.draft_ends == proposal.draft_ends
    assert tree.nodes == [end - 1 for end in proposal.draft_ends]
    assert tree.cut == proposal.cut


def comb() -> _core.TreeProposal:
    """The candidates of " a dog ran" and " a bird", over bytes as drafted ids."""
    target = real("gpt2")
    sequence = _core.Bridge(target.core, target.core, []).start([], [])
    tree = Tree()
    for text, chance in [(" a dog ran", 0.9), (" a bird", 0.5), (" a dog in", 0.9)]:
        parent = -1
        for id in target.encode(text):
            known = [child for child in tree.children(parent) if tree.ids[child] == id]
            parent = known[0] if known else tree.add(id, parent, chance)
    return tree.ask(sequence)


def test_other_weights_choose_and_order() -> None:
    proposal = comb()
    weights = [float(len(proposal.ids) - at) for at in range(len(proposal.ids))]
    assert proposal.select(weights, 100).ids == proposal.ids, "already in that order"
    chosen = proposal.select([*range(len(proposal.ids))], 100)
    assert sorted(paths(chosen)) == sorted(paths(proposal))
    assert chosen.weights == [0.0] * len(chosen.ids), "none counts for more than its parent"
    last = paths(proposal)[-1]
    favoured = [1.0 if last[: len(path)] == path else 0.5 for path in paths(proposal)]
    assert paths(proposal.select(favoured, len(last)))[-1] == last
    assert proposal.select(favoured, 0).ids == []
    negative = [-math.inf if parent < 0 else 1.0 for parent in proposal.parents]
    assert proposal.select(negative, 1).ids == proposal.ids[:1], "equals: the first"


def test_a_path_that_was_not_held_is_fed() -> None:
    target, assistant = real("gpt2"), real("llama3")
    sequence = _core.Bridge(target.core, assistant.core, []).start(
        target.encode("The"), assistant.encode("The")
    )
    dog, ran = assistant.encode(" dog")[:1], assistant.encode(" park")[:1]
    sequence.propose_tree([*dog, *ran], [-1, -1], [0.6, 0.4], held=[0])
    before = len(sequence)
    edit = sequence.commit(target.encode(" park"))
    assert (edit.keep, edit.feed, edit.cause) == (before, assistant.encode(" park"), "text")


@pytest.mark.parametrize(
    ("ids", "parents", "chances", "more", "because"),
    [
        ([5, 6], [-1], [0.5, 0.5], {}, "a tree of 2 ids has 1 parents and 2 chances"),
        ([5, 6], [-1, 0], [0.5], {}, "a tree of 2 ids has 2 parents and 1 chances"),
        ([5, 6], [1, -1], [0.5, 0.5], {}, "the parent of node 0 is 1; list each node after its"),
        ([5, 6], [-1, 1], [0.5, 0.5], {}, "the parent of node 1 is 1"),
        ([5, 6], [-1, -2], [0.5, 0.5], {}, r"parent -2 at index 1 .* from -1 to 4294967295"),
        ([5, 6], [-1, 2**80], [0.5, 0.5], {}, r"at index 1 is not an integer from -1 to"),
        ([5], [-1], [math.nan], {}, "the chance of node 0 is NaN; give one from 0 to 1"),
        ([5], [-1], [1.5], {}, "the chance of node 0 is 1.5"),
        ([5], [-1], [-0.1], {}, "the chance of node 0 is -0.1"),
        ([-1], [-1], [0.5], {}, "token id -1 at index 0"),
        ([5, 6], [-1, -1], [0.5, 0.5], {"held": [1, 0]}, "held node 0 of a tree of 2 does not"),
        ([5, 6], [-1, 0], [0.5, 0.5], {"held": [1]}, "held node 1 .* give a path from a root on"),
        ([5], [-1], [0.5], {"held": [9]}, "held node 9 of a tree of 1"),
        ([5], [-1], [0.5], {"held": [-1]}, "node -1 at index 0 .* from 0 to"),
        ([], [], [], {"text": b"a", "text_chances": [2]}, "the chance of looked-up id 0 is 2"),
    ],
)
def test_a_tree_that_cannot_be(
    ids: list[int],
    parents: list[int],
    chances: list[float],
    more: dict[str, object],
    because: str,
) -> None:
    target = real("gpt2")
    sequence = _core.Bridge(target.core, target.core, []).start([], [])
    with pytest.raises(ValueError, match=because):
        sequence.propose_tree(ids, parents, chances, **more)  # type: ignore[arg-type]
    assert sequence.propose([5]).ids, "usable after an error"


def test_weights_that_cannot_be() -> None:
    proposal = comb()
    with pytest.raises(ValueError, match=r"candidates have 1 weights; give one for each"):
        proposal.select([1.0], 2)
    weights = [*proposal.weights[:-1], math.nan]
    with pytest.raises(ValueError, match=rf"candidate {len(weights) - 1} is NaN; give a number"):
        proposal.select(weights, 2)


def test_no_ids_are_no_candidates() -> None:
    target = real("gpt2")
    sequence = _core.Bridge(target.core, target.core, []).start([], [])
    nothing = sequence.propose_tree([], [], [])
    assert (nothing.ids, nothing.cut, nothing.best(5).ids) == ([], "", [])
    beyond = sequence.propose_tree([2**32 - 1], [-1], [1.0])
    assert (beyond.ids, beyond.cut) == ([], "no text")
    deep = sequence.propose_tree([5] * 100_000, [*range(-1, 99_999)], [0.999] * 100_000)
    assert len(deep.ids) == len(deep.best(10**9).ids)
