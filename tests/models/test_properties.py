"""What a model is said to be like is what its weights and configuration say."""

import pytest
import torch

from tests.support.models import ARCHITECTURES, random_model
from tests.support.tokenizers import tokenizer
from uag.models.properties import (
    cache_name,
    context_window,
    device_of,
    embedding_rows,
    end_ids,
    has_learned_positions,
    is_sharded,
    parameter_count,
    vocabulary_rows,
)

VOCABULARY = tokenizer("gpt2")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sizes_windows_and_arguments(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    ids = torch.tensor([[1, 2, 3]])
    out = model(ids, use_cache=True)
    assert vocabulary_rows(model) == out.logits.shape[-1]
    assert embedding_rows(model) == len(VOCABULARY)
    assert parameter_count(model) == sum(each.numel() for each in model.state_dict().values())
    assert context_window(model) in (256, None, 2048)
    assert has_learned_positions(model) == (architecture in ("gpt2", "gpt-bigcode"))
    assert device_of(model) == torch.device("cpu") and not is_sharded(model)
    model(ids, **{cache_name(model): None})


def test_ends_of_a_text_are_those_of_the_defaults_or_else_of_the_tokenizer() -> None:
    model = random_model("llama", VOCABULARY)
    for configured, expected in ((7, [7]), ([7, 3], [7, 3]), (None, [VOCABULARY.eos_token_id])):
        model.generation_config.eos_token_id = configured
        assert end_ids(model, VOCABULARY) == expected
    assert end_ids(model, VOCABULARY.backend_tokenizer) == []
