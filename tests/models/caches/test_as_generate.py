"""Models that can be read in no other way are read by the steps of `generate` itself."""

from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from tests.support.models import ARCHITECTURES, plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.models.caches.as_generate import GenerateCache
from uag.models.check.way import way_of

VOCABULARY = tokenizer("gpt2")
IDS = VOCABULARY(PROMPT)["input_ids"]
NEW = 12


def greedy(model: PreTrainedModel, cache: GenerateCache) -> list[int]:
    read, ids = torch.tensor(IDS), list[int]()
    for _ in range(NEW):
        ids.append(int(cache.forward(read, 1).argmax()))
        read = torch.tensor(ids[-1:])
    return ids


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_reads_as_generate(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    cache = GenerateCache(model)
    want = plain_ids(model, IDS, max_new_tokens=NEW)
    assert greedy(model, cache)[: len(want)] == want
    cache.roll_back(3)
    assert cache.length == 0
    assert greedy(model, cache)[: len(want)] == want


def test_defaults_of_the_model_have_no_say() -> None:
    model = random_model("llama", VOCABULARY)
    want = plain_ids(model, IDS, max_new_tokens=NEW)
    settings: Any = model.generation_config
    settings.num_beams, settings.do_sample, settings.temperature = 4, True, 0.3
    settings.repetition_penalty, settings.use_cache = 1.7, False
    settings.cache_implementation = "static"
    assert greedy(model, GenerateCache(model))[: len(want)] == want


SETTINGS: dict[str, dict[str, Any]] = {
    "Rwkv": {"hidden_size": 32, "attention_hidden_size": 32, "intermediate_size": 48},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "mem_len": 32},
    "OpenAIGPT": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore:.*drafts are switched off")
def test_models_without_a_cache_of_transformers(name: str) -> None:
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(VOCABULARY), bos_token_id=None, eos_token_id=None, **SETTINGS[name]
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.generation_config.pad_token_id = 0
    # GPT-1 keeps nothing: each pass reads the whole text, and may verify a draft.
    assert way_of(model).as_generate is (name != "OpenAIGPT")
    assert way_of(model).whole is (name == "OpenAIGPT")
    decoder = SpeculativeDecoder(model, VOCABULARY, "lookup", lookahead=4)
    out = decoder.generate(IDS, max_new_tokens=30)
    assert out.token_ids == plain_ids(model, IDS, max_new_tokens=30)
    if name == "OpenAIGPT":
        assert out.stats.accepted  # a random model repeats itself
    outs = decoder.generate([IDS, IDS[:4]], max_new_tokens=10)
    for prompt, each in zip([IDS, IDS[:4]], outs, strict=True):
        assert each.token_ids == plain_ids(model, prompt, max_new_tokens=10)
