"""CUDA graphs themselves, where there is a GPU: what `test_graphs` asks of their stand-in."""

import gc
from random import Random
from time import sleep
from typing import Any

import pytest
import torch

from tests.campaigns.graphs import verdict
from tests.support.engines import (
    WITH_GRAPHS,
    check,
    check_ahead,
    check_begun,
    check_drafts,
    check_giving_up,
    check_reading,
    check_siblings,
    reader,
)
from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.trees import check_trees
from uag import SpeculativeDecoder
from uag.demo import demo_decoder
from uag.models.engines.graphs import GraphRunner
from uag.models.properties import embedding_rows
from uag.sampling.coupled import TokenNames
from uag.sampling.greedy import MostLikely
from uag.translation.core_tokenizer import core_tokenizer

VOCABULARY = tokenizer("qwen2")
# Grouped experts need bfloat16 on a GPU; in float32 they are not captured.
DENSE = [architecture for architecture in WITH_GRAPHS if architecture != "mixtral"]
pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("architecture", DENSE)
def test_reading_and_drafting(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY).cuda()
    runner = GraphRunner(model)
    check_reading(model, runner)
    check_drafts(model, runner, MostLikely(), lambda logits: logits.argmax(-1))
    assert str(runner) == "graphs" and runner.seconds > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["gpt_oss", "gemma4_text", "gptj", "deepseek_v2", "phimoe"])
def test_models_that_compute_something_otherwise(kind: str, dtype: torch.dtype) -> None:
    assert "DIFFERENT" not in verdict(kind, dtype, "cuda")


@pytest.mark.parametrize("architecture", DENSE)
def test_what_begins_before_it_is_asked_for(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY).cuda()
    runner = GraphRunner(model)
    tokens = TokenNames.of(core_tokenizer(VOCABULARY), embedding_rows(model), model.device)
    check_ahead(model, runner)
    check_begun(model, runner, None)
    check_begun(model, runner, tokens)
    assert str(runner) == "graphs"


def test_steps_take_what_the_device_takes_however_long_the_host_does_something_else() -> None:
    model = random_model("llama", VOCABULARY).cuda()
    lm = reader(model, GraphRunner(model))
    lm.append([7] * 10)
    lm.draft(6, MostLikely())  # captures
    spent: list[list[float]] = []
    for pause in (0.0, 0.2):
        lm.append([8])
        lm.begin(6, MostLikely())
        sleep(pause)
        spent.append(lm.draft(6, MostLikely()).seconds)
    for each in spent:
        assert len(each) == 6 and len({*each}) == 1 and 0 < each[0] < 0.03


@pytest.mark.parametrize("architecture", DENSE)
def test_reading_trees(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY).cuda()
    runner = GraphRunner(model)
    check_trees(model, reader(model, runner), Random(3), rounds=12)
    assert str(runner) == "graphs"


def test_siblings_of_drafts() -> None:
    names = tokenizer("llama2")
    model = random_model("llama", names).cuda()
    tokens = TokenNames.of(core_tokenizer(names), model.config.vocab_size, model.device)
    check_siblings(model, GraphRunner(model), tokens)


@pytest.mark.parametrize("engine", ["graphs", "eager"])
def test_trees_leave_the_text(engine: str) -> None:
    demo = demo_decoder(device_map="cuda")
    parts = demo.model, demo.tokenizer, demo.assistant, demo.assistant_tokenizer
    asked: dict[str, Any] = {"lookahead": 4, "lookup": False, "tree": 31, "engine": engine}
    decoder = SpeculativeDecoder(*parts, **asked)
    alone = SpeculativeDecoder(demo.model, demo.tokenizer, engine="eager")
    prompt = "Once upon a time"
    out = decoder.generate(prompt, max_new_tokens=60)
    ids = demo.tokenizer(prompt)["input_ids"]
    assert out.token_ids == plain_ids(demo.model, ids, max_new_tokens=60)
    drawn: dict[str, Any] = {"max_new_tokens": 60, "do_sample": True, "seed": 3}
    again = decoder.generate(prompt, **drawn)
    assert again.token_ids == alone.generate(prompt, **drawn).token_ids
    for each in (out, again):
        assert {*each.stats.engines.values()} == {engine}
        assert any(done.tree is not None and done.accepted for done in each.stats.history)


@pytest.mark.filterwarnings("ignore::uag.errors.UagWarning")
def test_experts_are_read_right_either_way() -> None:
    model = random_model("mixtral", VOCABULARY).cuda()
    runner = GraphRunner(model)
    if runner.reason:
        pytest.skip(runner.reason)
    check_reading(model, runner)


def test_where_a_capture_fails_the_text_continues() -> None:
    model = random_model("falcon", VOCABULARY).cuda()
    runner = GraphRunner(model)
    match = "a pass cannot be captured"
    torch.manual_seed(0)
    first = torch.rand(4, device="cuda")
    check_giving_up(reader(model, runner), model, match)
    # The device still works, its generator too, and so do graphs of other models.
    torch.manual_seed(0)
    assert torch.equal(torch.rand(4, device="cuda"), first)
    other = random_model("llama", VOCABULARY).cuda()
    check_reading(other, GraphRunner(other))


def test_graphs_are_captured_again_after_all_were_dropped() -> None:
    model = random_model("llama", VOCABULARY, max_position_embeddings=2048).cuda()
    runner = GraphRunner(model)
    lm = reader(model, runner)
    for length in (40, 3, 1, 400, 3, 1):  # the buffers grow
        lm.append([id % 300 for id in range(length)])
        check(lm, model, 1)
    assert str(runner) == "graphs"


def test_memory_is_used_again() -> None:
    model = random_model("llama", VOCABULARY).cuda()
    runner = GraphRunner(model)
    held: list[int] = []
    for _ in range(4):
        check_reading(model, runner)
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[1]


def test_a_decoder_takes_graphs_by_itself() -> None:
    names = tokenizer("gpt2"), tokenizer("llama2")
    target = random_model("llama", names[0]).cuda()
    assistant = random_model("llama", names[1], seed=1, num_hidden_layers=1).cuda()
    decoder = SpeculativeDecoder(target, names[0], assistant, names[1], lookahead=3)
    eager = SpeculativeDecoder(target, names[0], assistant, names[1], lookahead=3, engine="eager")
    out = decoder.generate(PROMPT, max_new_tokens=40)
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    assert out.token_ids == plain_ids(target, ids, max_new_tokens=40)
    assert out.stats.engines == {"target": "graphs", "assistant": "graphs"}
    asked: dict[str, Any] = {"max_new_tokens": 40, "do_sample": True, "seed": 3}
    for sampling in ({}, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}):
        drawn = decoder.generate(PROMPT, **asked, **sampling)
        assert drawn.token_ids == eager.generate(PROMPT, **asked, **sampling).token_ids
