"""Trees of ids, and what reading one must give."""

from collections.abc import Sequence
from random import Random

import torch
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from tests.support.models import at_once
from uag.models.cached_lm import CachedLM


def followed(choices: Sequence[int]) -> tuple[int, ...]:
    """The parents that numbers of any size stand for."""
    return tuple(number % (at + 1) - 1 for at, number in enumerate(choices))


# Parents of up to nine nodes, in any order in which a node stands after its parent.
parents = st.builds(followed, st.lists(st.integers(0, 8), min_size=1, max_size=9))


def random_parents(random: Random, most: int = 9) -> tuple[int, ...]:
    """Parents of a few nodes; some trees are long, some bushy."""
    reach = random.choice([1, 2, 9])
    count = random.randint(1, most)
    return tuple(random.randint(max(-1, at - reach), at - 1) for at in range(count))


def path_to(node: int, parents: Sequence[int]) -> list[int]:
    """The nodes from a beginning of the tree to one of them; none to the id before the tree."""
    return [] if node < 0 else [*path_to(parents[node], parents), node]


def true_logits(model: PreTrainedModel, text: list[int], parents: Sequence[int]) -> Tensor:
    """The logits at the last id before a tree and at its nodes, by a pass over each path."""
    begin = len(text) - len(parents)
    paths = [path_to(node, parents) for node in range(-1, len(parents))]
    rows = [at_once(model, text[:begin] + [text[begin + at] for at in path])[-1] for path in paths]
    return torch.stack(rows)


def check_trees(model: PreTrainedModel, lm: CachedLM, random: Random, rounds: int) -> None:
    """Read trees at random, keep paths of them, roll back, and read on."""
    rows = model.config.vocab_size

    def ids(count: int) -> list[int]:
        return [random.randrange(rows) for _ in range(count)]

    def check(logits: Tensor, true: Tensor) -> None:
        torch.testing.assert_close(logits, true, atol=2e-4, rtol=1e-4)

    for _ in range(rounds):
        keep = max(0, len(lm.ids) - random.choice([0, 0, 1, 2, 5, 20]))
        lm.apply(keep, ids(random.choice([1, 1, 1, 2, 9, 30])))
        parents = random_parents(random)
        lm.append(ids(len(parents)))
        text = [*lm.ids]
        check(lm.tree_logits(parents), true_logits(model, text, parents))
        assert lm.ids == text
        kept = path_to(random.randrange(-1, len(parents)), parents)
        kept = kept[: random.randint(0, len(kept))]
        lm.keep_path(kept)
        begin = len(text) - len(parents)
        assert lm.ids == text[:begin] + [text[begin + node] for node in kept]
        if random.random() < 0.7:
            lm.apply(len(lm.ids) - random.randint(0, len(kept)), ids(1))
            positions = random.randint(1, min(5, len(lm.ids)))
            check(lm.logits(positions), at_once(model, lm.ids)[-positions:])
