"""What became of the candidates of a tree, against the text that was emitted."""

from dataclasses import replace
from random import Random

import pytest

from tests.support.tokenizers import tokenizer
from uag import Bridge
from uag._core import Proposal
from uag.decoding.candidates import ANY, Chain, Fit, Trees, Trie, usual
from uag.draft import Draft, DraftTree
from uag.lookahead.rules.trees import Heaviest
from uag.sampling.ranking import by_weight
from uag.stats import Round

OWN = tokenizer("gpt2")
BRIDGE = Bridge(OWN, OWN)
PROMPT = OWN("The dog")["input_ids"]
# In one vocabulary, candidates are the drafted ids: 30 31 32, 30 40, 50.
TREE = DraftTree([30, 31, 32, 40, 50], [-1, 0, 1, 0, -1], [0.9, 0.8, 0.7, 0.1, 0.05])
DRAFT = Draft([30, 31, 32], tree=TREE)


def trie(most: int = 31) -> Trie:
    found = Trees(by_weight, Heaviest(31), most, usual).candidates(
        DRAFT, BRIDGE.start(PROMPT, PROMPT), PROMPT, 100
    )
    assert isinstance(found, Trie)
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("tokens", "right", "tried"),
    [
        ([30, 31, 32, 7], 3, 3),
        ([30, 31, 7], 2, 3),
        ([30, 40, 7], 1, 2),
        ([50, 7], 0, 1),
        ([7], 0, 1),
        ([30, 31], 2, 2),
    ],
)
def test_the_drafted_ids_are_judged_by_the_text(
    most: int, tokens: list[int], right: int, tried: int
) -> None:
    found = trie(most)
    assert len(found.ids) == max(most, 3), "the chain is no tree"
    assert found.drafted_accepted(tokens) == right
    judged = found.judged(tokens)
    assert (judged.chain, judged.followed) == (3, right)
    path = found.path(tokens)
    done = Round(tokens, len(path), found.drafted, right, len(found.ids), {}, tree=judged)
    assert (done.judged, done.accepted_beside) == (tried, max(0, len(path) - right))
    assert [found.ids[at] for at in path] == tokens[: len(path)]


def test_every_candidate_at_a_place_that_was_decided_is_judged() -> None:
    choices = {
        (depth, round(chance, 3)): right
        for depth, chance, right in trie(1).judged([30, 40]).choices
    }
    assert choices == {(0, 0.9): True, (0, 0.05): False, (1, 0.8): False, (1, 0.1): True}


def test_no_more_candidates_than_may_follow() -> None:
    translation = BRIDGE.start(PROMPT, PROMPT)
    assert len(ANY.candidates(DRAFT, translation, PROMPT, 3).ids) == 2
    assert ANY.candidates(DRAFT, translation, PROMPT, 1).ids == []


@pytest.mark.parametrize(("fit", "count"), [(usual, 7), (Heaviest(0).fit, 10)])
def test_a_chain_is_as_long_as_passes_are(fit: Fit, count: int) -> None:
    drafted = Draft([*range(30, 40)])
    trees = replace(ANY, fit=fit)
    found = trees.candidates(drafted, BRIDGE.start(PROMPT, PROMPT), PROMPT, 100)
    assert len(found.ids) == count


def test_a_translation_that_failed_proposes_nothing() -> None:
    class Failing:
        held = 0

        def propose_tree(self, *_: object) -> None:
            return None

    found = ANY.candidates(DRAFT, Failing(), PROMPT, 9)  # type: ignore[arg-type]
    assert (found.ids, found.drafted, found.drafted_accepted([5])) == ([], 3, 0)


def test_a_chain_is_as_long_as_a_usual_pass() -> None:
    ids = [*range(30, 40)]
    draft = Draft(ids)
    found = ANY.candidates(draft, BRIDGE.start(PROMPT, PROMPT), PROMPT, 100)
    assert isinstance(found, Chain) and len(found.ids) == 7
    assert found.drafted_accepted([*ids[:7], 37]) == 7, "what was not read is not accepted"
    assert Chain(draft, Proposal(ids, [*range(1, 11)]), 10).drafted_accepted([*ids, 5]) == 10


def test_any_text_follows_a_path() -> None:
    random = Random(1)
    for _ in range(200):
        found, tokens = trie(random.randrange(1, 6)), random.choices([30, 31, 32, 40, 50], k=4)
        path = found.path(tokens)
        parents = [found.parents[at] for at in path]
        assert parents == [-1, *path][: len(path)]
        assert len(path) == len(tokens) or tokens[len(path)] not in [
            id
            for id, parent in zip(found.ids, found.parents, strict=True)
            if parent == (path[-1] if path else -1)
        ]
