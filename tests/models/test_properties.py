"""What a model is said to be like is what its weights and configuration say."""

from typing import Any

import pytest
import torch
import transformers

from tests.support.models import ARCHITECTURES, random_model
from tests.support.tokenizers import tokenizer
from uag import PromptError, SpeculativeDecoder, UagWarning
from uag.models.caches.rollback import RollbackCache
from uag.models.properties import (
    cache_name,
    context_window,
    device_of,
    embedding_rows,
    end_ids,
    is_sharded,
    parameter_count,
    position_limit,
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
    assert (position_limit(model) is not None) == (architecture in ("gpt2", "gpt-bigcode"))
    assert device_of(model) == torch.device("cpu") and not is_sharded(model)
    model(ids, **{cache_name(model): None})


def test_ends_of_a_text_are_those_of_the_defaults_or_else_of_the_tokenizer() -> None:
    model = random_model("llama", VOCABULARY)
    for configured, expected in ((7, [7]), ([7, 3], [7, 3]), (None, [VOCABULARY.eos_token_id])):
        model.generation_config.eos_token_id = configured
        assert end_ids(model, VOCABULARY) == expected
    assert end_ids(model, VOCABULARY.backend_tokenizer) == []


OF_GPT: dict[str, Any] = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
OF_BERT: dict[str, Any] = {
    "max_position_embeddings": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
OF_OPT = OF_BERT | {"ffn_dim": 32, "word_embed_proj_dim": 32}
OF_MPT: dict[str, Any] = {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64}
OF_XGLM: dict[str, Any] = OF_BERT | {"d_model": 32, "ffn_dim": 32, "num_layers": 2}

# Class of the configuration, its settings, and how many ids there are positions for.
TABLES: list[tuple[str, dict[str, Any], int | None]] = [
    ("GPT2", OF_GPT, 64),
    ("GPTJ", OF_GPT | {"rotary_dim": 4}, 64),
    ("CodeGen", OF_GPT | {"n_ctx": 64, "rotary_dim": 4}, 64),
    ("CTRL", OF_GPT | {"dff": 32}, 64),
    ("Mpt", OF_MPT, 64),
    ("OPT", OF_OPT, 64),
    ("Roberta", OF_BERT | {"is_decoder": True, "pad_token_id": 1}, 64),
    ("XGLM", OF_XGLM | {"attention_heads": 4}, None),  # makes a larger table where it must
    ("Llama", OF_BERT, None),
]


@pytest.mark.parametrize(("name", "settings", "limit"), TABLES, ids=[name for name, *_ in TABLES])
def test_tables_of_positions_end(name: str, settings: dict[str, Any], limit: int | None) -> None:
    config = getattr(transformers, f"{name}Config")(vocab_size=len(VOCABULARY), **settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    assert (context_window(model), position_limit(model)) == (64, limit)
    ids = torch.ones(70, dtype=torch.long) * 5
    assert RollbackCache(model).forward(ids[: limit or 70], 1).isfinite().all()
    if limit is not None:
        with pytest.raises((IndexError, RuntimeError)):
            RollbackCache(model).forward(ids[: limit + 1], 1)


def test_a_text_ends_with_the_table() -> None:
    config = transformers.CodeGenConfig(
        vocab_size=len(VOCABULARY), eos_token_id=None, **OF_GPT | {"n_ctx": 64, "rotary_dim": 4}
    )
    decoder = SpeculativeDecoder(
        transformers.AutoModelForCausalLM.from_config(config).eval(), VOCABULARY
    )
    with pytest.warns(UagWarning, match="window is 64 ids; stopping there"):
        out = decoder.generate([5] * 20, max_new_tokens=80)
    assert len(out.token_ids) == 44
    with pytest.raises(PromptError, match="70 ids, but the target's window is 64"):
        decoder.generate([5] * 70, max_new_tokens=8)
