"""A cache that goes back to fewer ids gives the logits of reading what is left at once."""

from random import Random

import pytest
import torch

from tests.support.models import ARCHITECTURES, at_once, random_model
from tests.support.tokenizers import tokenizer
from uag.models.caches.rollback import RollbackCache

VOCABULARY = tokenizer("qwen2")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_after_going_back_anywhere_it_reads_on_from_there(architecture: str) -> None:
    model, random = random_model(architecture, VOCABULARY), Random(1)
    cache, text = RollbackCache(model), list[int]()
    for _ in range(12):
        cache.checkpoint()
        text += [random.randrange(len(VOCABULARY)) for _ in range(random.choice([1, 2, 9]))]
        # Some models with recurrent states read one id at a time only.
        while cache.length < len(text):
            size = 1 if architecture == "mamba" else len(text)
            ids = torch.tensor(text[cache.length :][:size])
            logits = cache.forward(ids, 1)[-1]
            assert cache.width == len(ids)
        torch.testing.assert_close(logits, at_once(model, text)[-1], atol=3e-4, rtol=1e-4)
        target = max(0, len(text) - random.choice([0, 0, 1, 2, 5, 20]))
        cache.roll_back(target)
        assert cache.length <= target
        # Full attention goes back exactly; a recurrent state only to a copy.
        assert cache.length == target or cache.recurrent or cache.length == 0
        text = text[:target]


def test_a_cleared_cache_has_read_nothing() -> None:
    model = random_model("llama", VOCABULARY)
    cache = RollbackCache(model)
    cache.forward(torch.tensor([1, 2, 3]), 1)
    cache.clear()
    logits = cache.forward(torch.tensor([7, 8]), 2)
    torch.testing.assert_close(logits, at_once(model, [7, 8]), atol=3e-4, rtol=1e-4)
