"""A text may be rolled back and continued anywhere: logits are those of one pass over it."""

from functools import cache
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from tests.support.models import ARCHITECTURES, at_once, random_model
from tests.support.tokenizers import tokenizer
from tests.support.trees import check_trees, parents, true_logits
from uag.models.cached_lm import CachedLM
from uag.models.caches.rollback import RollbackCache
from uag.models.check.way import new_cache

VOCABULARY = tokenizer("qwen2")
WITH_TREES = [name for name in ARCHITECTURES if name not in ("mamba", "qwen3-next", "lfm2")]


def greedy(logits: Tensor) -> Tensor:
    return logits.argmax(-1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seed", [0, 1])
def test_any_rolling_back_and_reading_gives_what_reading_at_once_gives(
    architecture: str, seed: int
) -> None:
    model, random = random_model(architecture, VOCABULARY), Random(seed)
    lm, text = CachedLM(model, cache=new_cache(model)), list[int]()
    for _ in range(25):
        # Most roll-backs are short, some go beyond the last round, few to the beginning.
        keep = max(0, len(text) - random.choice([0, 0, 1, 2, 3, 5, 12, 40]))
        added = [random.randrange(len(VOCABULARY)) for _ in range(random.choice([1, 1, 2, 6, 11]))]
        text = text[:keep] + added
        lm.apply(keep, added)
        assert lm.ids == text
        positions = random.randint(1, min(4, len(text)))
        torch.testing.assert_close(
            lm.logits(positions), at_once(model, text)[-positions:], atol=2e-4, rtol=1e-4
        )
        if random.random() < 0.4:
            rolled = lm.draft(3, greedy).ids
            assert lm.ids == text + rolled


@pytest.mark.parametrize("architecture", ["llama", "mistral-window", "mamba"])
def test_rolling_is_choosing_one_id_at_a_time(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    rolled, stepped = (CachedLM(model, cache=new_cache(model)) for _ in range(2))
    rolled.append([5, 6, 7])
    stepped.append([5, 6, 7])
    for _ in range(6):
        stepped.append([int(stepped.logits(1).argmax())])
    assert rolled.draft(6, greedy).ids == stepped.ids[3:]
    assert rolled.ids == stepped.ids


def test_unread_ids_cost_nothing() -> None:
    lm = CachedLM(random_model("llama", VOCABULARY))
    lm.append([1, 2, 3])
    lm.roll_back(1)
    assert lm.forwards == 0
    lm.logits(1)
    lm.logits(1)
    assert lm.forwards == 2


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral-window", "mamba"])
def test_a_text_longer_than_the_window_is_read_from_its_recent_part(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    lm, random = CachedLM(model, window=16, cache=new_cache(model)), Random(0)
    for _ in range(30):
        lm.append([random.randrange(len(VOCABULARY)) for _ in range(random.randint(1, 9))])
        logits = lm.logits(1)[0]
        # The model has read a suffix of the text: half a window, less or more what was rolled back
        # or added.
        suffixes = [
            at_once(model, lm.ids[-size:])[-1] for size in range(1, min(16, len(lm.ids)) + 1)
        ]
        close = [
            size
            for size, other in enumerate(suffixes, 1)
            if torch.allclose(logits, other, atol=2e-4)
        ]
        assert close and (close[-1] >= 4 or close[-1] == len(lm.ids))
        rolled = lm.draft(random.randint(1, 40), greedy).ids
        lm.roll_back(max(0, len(lm.ids) - len(rolled) - random.randint(0, 3)))


@pytest.mark.parametrize("architecture", WITH_TREES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_tree_is_read_as_each_of_its_paths_is(architecture: str, seed: int) -> None:
    model = random_model(architecture, VOCABULARY)
    check_trees(model, CachedLM(model, cache=new_cache(model)), Random(seed), rounds=12)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_with_an_additive_mask_as_well(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    model.set_attn_implementation("eager")
    check_trees(model, CachedLM(model, cache=new_cache(model)), Random(2), rounds=9)


@given(parents, st.integers(0, 40))
def test_trees_of_any_shape(parents: tuple[int, ...], before: int) -> None:
    model = windowed()
    lm = CachedLM(model, cache=new_cache(model))
    lm.append([at % 7 for at in range(before + 1)])
    lm.append([11 * at % 50 for at in range(len(parents))])
    torch.testing.assert_close(
        lm.tree_logits(parents), true_logits(model, lm.ids, parents), atol=2e-4, rtol=1e-4
    )


@cache
def windowed() -> PreTrainedModel:
    """A model with a window shorter than most texts, and with full attention."""
    return random_model("gemma3", VOCABULARY)


def test_a_chain_is_read_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RollbackCache, "read_tree")
    model = random_model("llama", VOCABULARY)
    lm, other = CachedLM(model), CachedLM(model)
    for each in (lm, other):
        each.append([5, 6, 7, 8, 9])
    assert torch.equal(lm.tree_logits([-1, 0, 1]), other.logits(4))
    lm.keep_path([0])
    assert (lm.ids, lm.cache.length) == ([5, 6, 7], 3)


@pytest.mark.parametrize("path", [[1], [0, 2], [0, 0], [5]])
def test_what_is_kept_is_a_path(path: list[int]) -> None:
    lm = CachedLM(random_model("llama", VOCABULARY))
    lm.append([5, 6, 7, 8])
    lm.tree_logits([-1, 0, 1])
    with pytest.raises(ValueError, match="not a path"):
        lm.keep_path(path)


@pytest.mark.parametrize("architecture", ["llama", "mistral-window"])
def test_of_a_tree_that_is_not_kept_nothing_is_held(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    lm = CachedLM(model)
    lm.append([*range(20)])
    lm.append([5, 6, 7])
    lm.tree_logits([-1, -1, 1])
    assert lm.cache.length == 20
    lm.apply(20, [8, 9])
    torch.testing.assert_close(lm.logits(3), at_once(model, lm.ids)[-3:], atol=2e-4, rtol=1e-4)


def test_the_first_path_is_kept_without_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("uag.models.caches.rollback.gather_path")
    lm = CachedLM(random_model("gemma3", VOCABULARY))
    lm.append([*range(20)])
    lm.tree_logits([-1, 0, 0, -1])
    lm.keep_path([0, 1])
    assert (lm.ids, lm.cache.length) == ([*range(18)], 18)
    lm.append([5, 6])
    lm.tree_logits([-1, -1])
    with pytest.raises(NameError):
        lm.keep_path([1])
