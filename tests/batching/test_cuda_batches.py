"""Batches by CUDA graphs themselves, where there is a GPU: see `test_row_graphs`."""

import asyncio
import gc

import pytest
import torch

from tests.support.engines import WITH_GRAPHS, check_rows, check_taking_over
from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.batching.batch_cache import Batch, reads_rows
from uag.batching.prefixes import Prefixes
from uag.batching.row_graphs import RowGraphs
from uag.models.engines.graphs import GraphRunner
from uag.serving.engine import ServingEngine
from uag.serving.reply import Ended

VOCABULARY = tokenizer("qwen2")
# Grouped experts need bfloat16 on a GPU; in float32 they are not captured.
DENSE = [architecture for architecture in WITH_GRAPHS if architecture != "mixtral"]
pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("architecture", DENSE)
def test_reading_rolling_back_and_taking_over(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY).cuda()
    runner = GraphRunner(model)
    assert reads_rows(model)
    for check in (check_rows, check_taking_over):
        graphs = RowGraphs(runner, rows=4, longest=256)
        check(model, Batch(model, prefixes=Prefixes(10**8), graphs=graphs))
    assert str(runner) == "graphs" and runner.seconds > 0


def decoder_of(architecture: str) -> SpeculativeDecoder:
    words, others = tokenizer("gpt2"), tokenizer("llama2")
    target = random_model(architecture, words).cuda()
    assistant = random_model("llama", others, seed=1, num_hidden_layers=1).cuda()
    return SpeculativeDecoder(target, words, assistant, others, lookahead=3)


def prompts_of(decoder: SpeculativeDecoder) -> list[list[int]]:
    ids: list[int] = decoder.tokenizer(PROMPT * 9)["input_ids"]
    return [ids[:length] for length in (60, 1, 120, 3, 33)]


@pytest.mark.parametrize("architecture", ["llama", "mistral-window", "gpt2"])
def test_texts_of_a_call_are_those_of_each_prompt_alone(architecture: str) -> None:
    decoder = decoder_of(architecture)
    given = prompts_of(decoder)
    expected = [plain_ids(decoder.model, ids, max_new_tokens=40) for ids in given]
    held: list[int] = []
    for _ in range(4):
        outs = decoder.generate(given, max_new_tokens=40)
        assert [out.token_ids for out in outs] == expected
        assert outs[0].stats.engines == {"target": "graphs", "assistant": "graphs"}
        del outs
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[1]


def test_a_server_reads_its_texts_by_graphs() -> None:
    decoder = decoder_of("llama")
    given = prompts_of(decoder)

    async def ask(engine: ServingEngine) -> list[list[int]]:
        replies = [engine.submit(ids, {"max_new_tokens": 20}) for ids in given]
        events = [[event async for event in reply] for reply in replies]
        return [told[-1].output.token_ids for told in events if isinstance(told[-1], Ended)]

    with ServingEngine(decoder, batch_size=3) as engine:
        found = asyncio.run(ask(engine))
    assert found == [plain_ids(decoder.model, ids, max_new_tokens=20) for ids in given]
