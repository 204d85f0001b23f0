"""A text may be rolled back and continued anywhere: logits are those of one pass over it."""

from random import Random

import pytest
import torch
from torch import Tensor

from tests.support.models import ARCHITECTURES, at_once, random_model
from tests.support.tokenizers import tokenizer
from uag.models.cached_lm import CachedLM
from uag.models.check.way import new_cache

VOCABULARY = tokenizer("qwen2")


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
