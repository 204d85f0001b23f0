"""Candidates are ranked by what the assistant believes, and when sampling by the target's noise."""

import pytest
import torch

from tests.support.tokenizers import tokenizer
from uag import Bridge
from uag._core import TreeProposal
from uag.sampling.coupled import Sampler, TokenNames
from uag.sampling.noise import gumbel, step_keys
from uag.sampling.ranking import ByNoise, by_weight

OWN = tokenizer("gpt2")
BRIDGE = Bridge(OWN, OWN)
PROMPT = OWN("The dog")["input_ids"]
NAMES = TokenNames.of(BRIDGE.target, len(OWN), torch.device("cpu"))


def star(chances: dict[int, float], below: float = 1.0) -> TreeProposal:
    """A tree of ids that follow the prompt, each of which the id 40 follows."""
    ids = [*chances, *(40 for _ in chances)]
    parents = [*(-1 for _ in chances), *range(len(chances))]
    proposal = BRIDGE.start(PROMPT, PROMPT).propose_tree(
        ids, parents, [*chances.values(), *(below for _ in chances)]
    )
    assert len(proposal.ids) == len(ids)
    return proposal


def test_a_chance_is_that_after_the_parent() -> None:
    proposal = star({30: 0.5, 31: 0.25, 32: 0.0}, below=0.5)
    nodes = zip(proposal.parents, proposal.ids, strict=True)
    found = dict(zip(nodes, by_weight(proposal, PROMPT), strict=True))
    assert [found[-1, id] for id in (30, 31, 32)] == [0.5, 0.25, 0.0]
    assert found[proposal.ids.index(30), 40] == 0.5
    assert found[proposal.ids.index(32), 40] == 0.0


def test_noise_is_the_samplers_own() -> None:
    sampler, key = Sampler(NAMES, 5, len(PROMPT)), 5
    tokens, parents = [30, 31, 40, 41], [-1, 0, 1, 0]
    found = sampler.noise(tokens, parents, PROMPT)
    moves = NAMES.moves
    positions = [0, moves[30], moves[30] + moves[31], moves[30]]
    for token, position, noise in zip(tokens, positions, found, strict=True):
        steps = step_keys(key, [position], torch.device("cpu"))
        assert noise == pytest.approx(float(gumbel(steps, NAMES.keys)[0, token]), rel=1e-6)


def test_noise_finds_what_the_target_chooses() -> None:
    chances = dict.fromkeys(range(30, 36), 0.16)
    scores = torch.full((1, len(OWN)), -torch.inf)
    scores[0, list(chances)] = torch.tensor([*chances.values()]).log()
    right = dict.fromkeys(("weight", "noise"), 0)
    for key in range(200):
        sampler = Sampler(NAMES, key, len(PROMPT))
        proposal = star(chances)
        first = [at for at, parent in enumerate(proposal.parents) if parent < 0]
        ranks = {"weight": by_weight(proposal, PROMPT), "noise": ByNoise(sampler)(proposal, PROMPT)}
        chosen = int(sampler(scores, PROMPT, len(PROMPT))[0])
        for name, values in ranks.items():
            assert sum(values[at] for at in first) <= 1 + 1e-6
            right[name] += proposal.ids[max(first, key=values.__getitem__)] == chosen
    assert right["noise"] == 200 > 3 * right["weight"]
