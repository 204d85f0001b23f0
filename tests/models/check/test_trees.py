"""Models that read trees are found, once, and the others are named with a reason."""

from functools import cache
from random import Random
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from tests.support.architectures.models import Weights, tiny_model
from tests.support.models import ARCHITECTURES, random_model, recurrent_gemma
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.trees import check_trees
from uag import SpeculativeDecoder
from uag.batching.batch_cache import Batch, RowCache
from uag.inspection.model_size import unloaded
from uag.models.cached_lm import CachedLM
from uag.models.caches.prefilled import PrefilledCache
from uag.models.check.records import record_of
from uag.models.check.trees import known_fault, trees_fault
from uag.models.check.way import new_cache, way_of
from uag.models.engines.compiled import CompiledRunner
from uag.models.prefill import Prefill

VOCABULARY = tokenizer("qwen2")
RECURRENT = ("mamba", "qwen3-next", "lfm2")
# With a window that texts outgrow, where a kind has one.
KINDS = ["gpt_oss-24", "gemma3-24", "mistral-24", "qwen2-window", "gemma3n-shared", "gemma4_text",
         "olmo2", "olmo3", "cohere2", "exaone4", "smollm3", "glm4", "granite", "starcoder2",
         "stablelm", "deepseek_v3", "qwen3_moe", "opt", "gptj", "biogpt", "falcon-old",
         "llama-yarn"]  # fmt: skip


def fault(model: PreTrainedModel) -> str:
    return trees_fault(model, new_cache(model))


@cache
def tiny(kind: str) -> PreTrainedModel:
    return tiny_model(kind, len(VOCABULARY), Weights(0.15))


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in RECURRENT])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_what_is_right_passes(architecture: str, dtype: torch.dtype, attention: str) -> None:
    model = random_model(architecture, VOCABULARY).to(dtype)
    if architecture not in ("gemma2", "falcon"):  # these have one kind of attention
        model.set_attn_implementation(attention)
    assert not fault(model)


@pytest.mark.parametrize("kind", KINDS)
def test_what_passes_reads_trees(kind: str) -> None:
    model = tiny(kind)
    assert not fault(model)
    check_trees(model, CachedLM(model, cache=new_cache(model)), Random(5), rounds=6)


@pytest.mark.parametrize("kind", ["phi3-longrope", "llama-longrope", "llama-dynamic"])
def test_a_rope_that_changes_with_the_length_keeps_nobody_from_trees(kind: str) -> None:
    assert not fault(tiny(kind))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("qwen3_next", "keeps a LinearAttentionLayer, which has no branches"),
        ("falcon_h1", "keeps a LinearAttentionAndFullAttentionLayer"),
        ("mamba", "gives other logits in one pass over several ids than in one pass for each"),
        ("openai-gpt", "is not read from its KV cache and ids alone"),
        ("llama4_text", "has chunked_attention, for which there is no mask of a tree"),
        ("falcon-alibi", "has ALiBi"),
        ("mpt", "takes no positions"),
        ("gpt_neo-24", "gives other logits in one pass over a tree than in one for each path"),
    ],
)
def test_what_reads_chains_only_says_why(kind: str, reason: str) -> None:
    assert fault(tiny(kind)).startswith(reason)


@pytest.mark.parametrize("kind", ["qwen3_next", "llama4_text", "falcon-alibi", "mpt", "olmo2"])
def test_what_is_known_of_a_model_is_known_without_its_weights(kind: str) -> None:
    model = tiny(kind)
    assert known_fault(unloaded(model.config)) == known_fault(model) == fault(model)


def test_a_state_in_modules_has_no_branches() -> None:
    assert fault(recurrent_gemma(VOCABULARY))


@pytest.mark.parametrize("attention", ["flex_attention", "flash_attention_2"])
def test_attention_without_masks_of_trees_is_not_tried(
    attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("llama", VOCABULARY, rope_theta=4000)
    way_of(model)
    monkeypatch.setattr("uag.models.check.trees._fault_in_tree", _not_to_be_called)
    model.config._attn_implementation_internal = attention
    assert fault(model) == f"has {attention} attention, which takes no mask of a tree as sdpa does"


def _not_to_be_called(model: object) -> None:
    raise AssertionError


def test_caches_that_take_no_trees_are_named() -> None:
    model = random_model("llama", VOCABULARY)
    compiled = CompiledRunner(model, "eager").new_cache()
    assert trees_fault(model, compiled) == "has no tree in the passes over a FixedCache"
    assert trees_fault(model, RowCache(Batch(model))).endswith("RowCache")
    prompt = Prefill(torch.tensor([[5, 6]]), model.generation_config, {})
    assert trees_fault(model, PrefilledCache(model, prompt))


class Broken(LlamaForCausalLM):
    """A model that reads trees as the classes below say; chains as a Llama does."""

    def forward(self, position_ids: Any = None, attention_mask: Any = None, **named: Any) -> Any:
        return super().forward(position_ids=position_ids, attention_mask=attention_mask, **named)


class IgnoresMask(Broken):
    """Each id sees all before it in the pass."""

    def forward(self, position_ids: Any = None, attention_mask: Any = None, **named: Any) -> Any:
        return super().forward(position_ids, None, **named)


class CountsPlaces(Broken):
    """Its positions are those of a chain, from the first one on."""

    def forward(self, position_ids: Any = None, attention_mask: Any = None, **named: Any) -> Any:
        if position_ids is not None:
            position_ids = position_ids[..., :1] + torch.arange(position_ids.shape[-1])
        return super().forward(position_ids, attention_mask, **named)


class RefusesMask(Broken):
    """Takes masks of padding only."""

    def forward(self, position_ids: Any = None, attention_mask: Any = None, **named: Any) -> Any:
        if attention_mask is not None and attention_mask.dim() > 2:
            raise ValueError
        return super().forward(position_ids, attention_mask, **named)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (IgnoresMask, "gives other logits"),
        (CountsPlaces, "gives other logits"),
        (RefusesMask, "fails where it reads a tree (ValueError)"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wrong_tree_is_found(
    kind: type[PreTrainedModel], reason: str, dtype: torch.dtype
) -> None:
    plain = random_model("llama", VOCABULARY)
    model = kind(plain.config)
    model.load_state_dict(plain.state_dict())
    model.generation_config = plain.generation_config
    assert fault(model.to(dtype).eval()).startswith(reason)


def test_nothing_is_tried_before_a_tree_is_wanted() -> None:
    model = random_model("llama", VOCABULARY, rope_theta=3000)
    SpeculativeDecoder(model, VOCABULARY, "lookup").generate(PROMPT, max_new_tokens=4)
    assert record_of(model).get("trees") is None
