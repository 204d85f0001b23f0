"""Attention that packs grouped queries gives what transformers' own gives, and is used."""

from typing import Any

import pytest
import torch

from tests.support.engines import check, reader
from tests.support.models import random_model
from tests.support.recorded import RecordedGraphs
from tests.support.tokenizers import tokenizer
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.fused import attention
from uag.models.engines.fused.attention import PACKED, packed, packed_attention
from uag.models.engines.graphs import GraphRunner
from uag.models.properties import attention_of

MODEL = random_model("llama", tokenizer("qwen2"))


@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 2), (6, 1), (4, 4)])
@pytest.mark.parametrize("width", [1, 5])
def test_it_is_the_attention_of_transformers(heads: int, kv_heads: int, width: int) -> None:
    torch.manual_seed(0)
    query = torch.randn(1, heads, width, 16)
    key, value = torch.randn(2, 1, kv_heads, 40, 16)
    seen = torch.arange(40) <= torch.arange(20, 20 + width)[:, None]
    mask = torch.zeros(1, 1, width, 40).masked_fill(~seen, torch.finfo(torch.float32).min)
    module: Any = MODEL.model.layers[0].self_attn
    module.num_key_value_groups, before = heads // kv_heads, module.num_key_value_groups
    try:
        got, _ = packed_attention(module, query, key, value, mask, scaling=0.3)
        true, _ = attention.sdpa_forward(module, query, key, value, mask, scaling=0.3)
    finally:
        module.num_key_value_groups = before
    torch.testing.assert_close(got, true)
    assert got.shape == (1, width, heads, 16)


def test_a_model_uses_it_and_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    asked = attention.scaled_dot_product_attention

    def counted(query: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        shapes.append(tuple(query.shape))
        return asked(query, *args, **options)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", counted)
    ids = torch.tensor([[5, 6, 7]])
    mask = torch.zeros(1, 1, 3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), -1e30)
    positions = torch.arange(3)[None]
    with torch.no_grad():
        true = MODEL(ids, attention_mask=mask, position_ids=positions).logits
        assert not shapes
        with packed(MODEL):
            assert attention_of(MODEL) == PACKED
            got = MODEL(ids, attention_mask=mask, position_ids=positions).logits
            assert shapes == [(1, 2, 6, 8)] * 2
            shapes.clear()
            alone = MODEL(ids).logits  # as another thread may call it: with masks of its own
            assert not shapes
    torch.testing.assert_close(got, true, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, true, atol=1e-5, rtol=1e-5)
    with pytest.raises(KeyError), packed(MODEL):
        raise KeyError
    assert attention_of(MODEL) == "sdpa"


def test_captured_passes_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    widths: list[int] = []
    asked = attention.scaled_dot_product_attention

    def counted(query: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        widths.append(query.shape[2])
        return asked(query, *args, **options)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", counted)
    lm = reader(MODEL, GraphRunner(MODEL))
    for count, captured in ((40, 0), (4, 2 * 2), (4, 0)):
        lm.append([7] * count)
        check(lm, MODEL, 1)
        # Warming up and capturing, in two layers; replays run no Python.
        assert widths == [8] * captured
        widths.clear()


def test_other_attention_is_left_alone() -> None:
    model = random_model("llama", tokenizer("qwen2"), attn_implementation="eager")
    with packed(model):
        assert attention_of(model) == "eager"
