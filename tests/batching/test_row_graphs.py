"""Rows by captured passes give what each text gives alone, on a stand-in for CUDA graphs."""

import asyncio
import gc
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from tests.support.engines import WITH_GRAPHS, check_rows, check_taking_over
from tests.support.kernels import HostLauncher
from tests.support.models import at_once, plain_ids, random_model
from tests.support.recorded import RecordedGraphs, recorded_graphs
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagWarning
from uag.batching import row_graphs
from uag.batching.batch_cache import Batch, RowCache, reads_rows
from uag.batching.prefixes import Prefixes
from uag.batching.row_graphs import RowGraphs
from uag.batching.rows import RowBuffers
from uag.batching.scheduler import PassRequest
from uag.clock import set_clock
from uag.decoding.output import Output
from uag.models.engines import static_text
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.fused.fusion import LAUNCHERS
from uag.models.engines.graphs import GraphRunner
from uag.serving.engine import ServingEngine
from uag.serving.reply import Ended

VOCABULARY = tokenizer("qwen2")
HALF_BUILT: Any = None  # of a runner that runs nothing


recorded = pytest.fixture(autouse=True)(recorded_graphs)


def batch_of(runner: GraphRunner, *, rows: int = 4, longest: int = 256, **options: Any) -> Batch:
    assert reads_rows(runner.model)
    return Batch(runner.model, graphs=RowGraphs(runner, rows, longest), **options)


def read(batch: Batch, *asked: tuple[RowCache, list[int], int]) -> list[torch.Tensor]:
    return batch.forward([PassRequest(row, torch.tensor(ids), n) for row, ids, n in asked])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_any_rolling_back_and_reading_gives_what_each_text_gives_at_once(
    architecture: str,
    attention: str,
    recorded: list[RecordedGraphs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (static_text, row_graphs):
        monkeypatch.setattr(module, "LEAST", 32)  # so that texts grow past it
    model = random_model(architecture, VOCABULARY)
    if attention != "eager" and model.config._attn_implementation == "eager":
        pytest.skip("it has no other attention")
    model.config._attn_implementation = attention
    runner = GraphRunner(model)
    batch = batch_of(runner)
    check_rows(model, batch)
    assert str(runner) == "graphs" and runner.seconds > 0
    assert recorded[0].replays > recorded[0].captured > 3


@pytest.mark.parametrize("architecture", ["llama", "mistral-window", "gemma3"])
def test_with_kernels_too(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAUNCHERS, "cpu", HostLauncher)
    launched: set[str] = set()
    own = HostLauncher.launch

    def launch(self: HostLauncher, name: str, *args: Any) -> None:
        launched.add(name)
        own(self, name, *args)

    monkeypatch.setattr(HostLauncher, "launch", launch)
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_rows(model, batch_of(runner))
    assert str(runner) == "graphs" and {"attend_16", "rotate", "rms_norm"} <= launched


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_texts_that_begin_alike_take_over_states(
    architecture: str, recorded: list[RecordedGraphs]
) -> None:
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_taking_over(model, batch_of(runner, prefixes=Prefixes(10**8)))
    assert str(runner) == "graphs" and recorded[0].replays


def test_rows_that_take_no_part_keep_their_states(recorded: list[RecordedGraphs]) -> None:
    model = random_model("llama", VOCABULARY)
    batch = batch_of(GraphRunner(model), rows=5)
    rows = [RowCache(batch) for _ in range(5)]
    texts = [[5 + number] * (40 + number) for number in range(5)]
    read(batch, *((row, text, 1) for row, text in zip(rows, texts, strict=True)))
    for taking_part in ((0, 1, 2, 3, 4), (4,), (2, 0), (1,), (3, 4), (0, 1, 2, 3, 4)):
        asked: list[tuple[RowCache, list[int], int]] = []
        for number in taking_part:
            added = [number, 7, 9][: 1 + number % 3]
            texts[number] += added
            asked.append((rows[number], added, len(added)))
        for number, logits in zip(taking_part, read(batch, *asked), strict=True):
            true = at_once(model, texts[number])[-len(logits) :]
            torch.testing.assert_close(logits, true, atol=3e-4, rtol=2e-4)
    assert recorded[0].replays == 6 + 3  # three numbers of rows were checked elsewhere


def test_memory_goes_from_batch_to_batch_without_what_the_last_one_left(
    recorded: list[RecordedGraphs],
) -> None:
    model = random_model("llama", VOCABULARY)
    runner = GraphRunner(model)
    captured: list[int] = []
    for _ in range(3):
        batch = batch_of(runner)
        rows = [RowCache(batch) for _ in range(2)]
        texts = [[3, 4, 5], [6, 7]]
        for added in ([8], [9, 10], [11]):
            for text in texts:
                text.extend(added)
            got = read(
                batch,
                *((row, text[row.length :], 1) for row, text in zip(rows, texts, strict=True)),
            )
            for text, logits in zip(texts, got, strict=True):
                torch.testing.assert_close(logits, at_once(model, text)[-1:], atol=3e-4, rtol=2e-4)
        captured.append(recorded[0].captured)
        # As a text leaves it whose logits were NaN.
        for layer in batch._buffers.layers:
            layer.buffers[1].fill_(torch.nan)
        batch.leave(rows[0])
        del batch, rows  # the other one has not left
        gc.collect()
    assert captured[0] > 0 and captured[1:] == [captured[0] + 1] * 2


def test_a_place_is_taken_again_without_what_was_in_it() -> None:
    model = random_model("llama", VOCABULARY)
    batch = batch_of(GraphRunner(model))
    first, second = (RowCache(batch) for _ in range(2))
    read(batch, (first, [5] * 30, 1), (second, [6, 7], 1))
    for layer in batch._buffers.layers:
        layer.buffers[1][0] = torch.nan
    batch.leave(first)
    third = RowCache(batch)
    (logits,) = read(batch, (third, [8, 9], 1))
    torch.testing.assert_close(logits, at_once(model, [8, 9])[-1:], atol=3e-4, rtol=2e-4)


def test_buffers_grow_and_give_up_what_is_over_the_limit() -> None:
    model = random_model("llama", VOCABULARY, max_position_embeddings=4096)
    batch = batch_of(GraphRunner(model), rows=8, longest=4096)
    rows = [RowCache(batch) for _ in range(8)]
    texts = [[5 + number] for number in range(8)]

    def grow(count: int, added: int) -> tuple[int, int]:
        """The first `count` rows, by so many ids."""
        for text in texts[:count]:
            text.extend([3] * added)
        asked = [(row, text[row.length :], 1) for row, text in zip(rows, texts, strict=True)]
        for text, logits in zip(texts, read(batch, *asked[:count]), strict=False):
            true = at_once(model, text)[-1:]
            torch.testing.assert_close(logits, true, atol=3e-4, rtol=2e-4)
        return batch._buffers.rows, batch._buffers.size

    assert grow(3, 10) == (4, 257)
    assert grow(3, 2) == (4, 257)
    assert grow(5, 2) == (8, 257)
    assert grow(8, 2) == (8, 257)
    for row in rows[2:]:
        batch.leave(row)
    assert grow(2, 500) == (2, 1025)
    batch.permit(10_000)
    del rows[2:], texts[2:]
    rows += [RowCache(batch) for _ in range(2)]
    texts += [[8], [9]]
    assert grow(4, 1) == (4, 1025)
    assert batch.slots_for(3, 300) == 4 * 513
    assert batch.slots_for(5, 4096) == 8 * 4353


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3000)), min_size=1, max_size=12),
    st.integers(257, 40_000),
)
def test_buffers_have_room_for_the_texts_and_stay_within_the_limit(
    asked: list[tuple[int, int]], limit: int
) -> None:
    graphs, held = RowGraphs(HALF_BUILT, rows=9, longest=2500), RowBuffers(1)
    graphs.most_slots = limit
    for rows, end in asked:
        needed = graphs.room_for(rows, end)
        if needed[0] * needed[1] <= limit:  # else the text is not admitted
            held.make_room(*graphs.room(held, rows, end))
            assert held.rows >= rows and held.size > end
            assert held.rows * held.size <= limit


def test_the_least_recently_used_graphs_go(
    monkeypatch: pytest.MonkeyPatch, recorded: list[RecordedGraphs]
) -> None:
    monkeypatch.setattr("uag.models.engines.graphs.MOST_GRAPHS", 2)
    model = random_model("llama", VOCABULARY)
    batch = batch_of(GraphRunner(model))
    row, text, captured = RowCache(batch), list[int](), list[int]()
    for width in (5, 1, 2, 1, 4, 1, 2):
        text += [7] * width
        (logits,) = read(batch, (row, [7] * width, 1))
        torch.testing.assert_close(logits, at_once(model, text)[-1:], atol=3e-4, rtol=2e-4)
        captured.append(recorded[0].captured)
    assert captured == [0, 1, 2, 2, 3, 3, 4]


def test_wide_blocks_and_many_rows_run_eagerly(recorded: list[RecordedGraphs]) -> None:
    model = random_model("llama", VOCABULARY)
    batch = batch_of(GraphRunner(model), rows=40)
    rows = [RowCache(batch) for _ in range(40)]
    for width, replays in ((3, 0), (2, 1), (40, 0), (16, 1), (17, 0)):
        before = recorded[0].replays
        asked = [(row, [number] * width, 1) for number, row in enumerate(rows)]
        for row, logits in zip(rows, read(batch, *asked), strict=True):
            true = at_once(model, [rows.index(row)] * row.length)[-1:]
            torch.testing.assert_close(logits, true, atol=3e-4, rtol=2e-4)
        assert (recorded[0].replays > before) == replays


def decoder_of(architecture: str = "llama") -> SpeculativeDecoder:
    """The assistant is the target with some noise, so that some of its drafts are right."""
    words = tokenizer("gpt2")
    target, assistant = (random_model(architecture, words) for _ in range(2))
    with torch.no_grad():
        for weight in assistant.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return SpeculativeDecoder(target, words, assistant, words, lookahead=4, engine="graphs")


def prompts_of(decoder: SpeculativeDecoder) -> list[list[int]]:
    ids: list[int] = decoder.tokenizer(PROMPT * 9)["input_ids"]
    return [ids[:length] for length in (60, 1, 120, 3, 33)]


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_texts_of_a_call_are_those_of_each_prompt_alone(
    architecture: str, recorded: list[RecordedGraphs]
) -> None:
    decoder = decoder_of(architecture)
    given = prompts_of(decoder)
    expected = [plain_ids(decoder.model, ids, max_new_tokens=30) for ids in given]
    outs = decoder.generate(given, max_new_tokens=30)
    assert [out.token_ids for out in outs] == expected
    assert 0 < sum(out.stats.accepted for out in outs) < sum(out.stats.candidates for out in outs)
    assert outs[0].stats.engines == {"target": "graphs", "assistant": "graphs"}
    assert outs[0].stats.compile_seconds > 0
    assert all(each.replays > 10 for each in recorded)


def test_captures_are_no_part_of_the_seconds_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = [0.0]

    class Slow(RecordedGraphs):
        def capture(
            self, run: Callable[[], None], restore: Callable[[], None]
        ) -> Callable[[], None]:
            machine[0] += 100
            return super().capture(run, restore)

    def seconds() -> float:
        set_clock(lambda: machine[0])
        decoder = decoder_of()
        outs = decoder.generate(prompts_of(decoder), max_new_tokens=12)
        return sum(sum(out.stats.seconds.values()) for out in outs)

    monkeypatch.setitem(CAPTURERS, "cpu", Slow)
    assert copy_context().run(seconds) == 0 and machine[0] >= 300


def test_a_server_reads_its_texts_by_graphs(recorded: list[RecordedGraphs]) -> None:
    decoder = decoder_of()
    given = prompts_of(decoder)

    async def ask(engine: ServingEngine) -> list[Output]:
        replies = [engine.submit(ids, {"max_new_tokens": 20}) for ids in given]
        events = [[event async for event in reply] for reply in replies]
        return [told[-1].output for told in events if isinstance(told[-1], Ended)]

    with ServingEngine(decoder, batch_size=3) as engine:
        for _ in range(2):
            outs = asyncio.run(ask(engine))
            assert [out.token_ids for out in outs] == [
                plain_ids(decoder.model, ids, max_new_tokens=20) for ids in given
            ]
    assert outs[-1].stats.engines == {"target": "graphs", "assistant": "graphs"}
    assert all(each.replays > 10 for each in recorded)


def test_a_later_call_captures_nothing(recorded: list[RecordedGraphs]) -> None:
    decoder = decoder_of()
    given = prompts_of(decoder)
    first = decoder.generate(given, max_new_tokens=20)
    captured = [each.captured for each in recorded]
    gc.collect()
    again = decoder.generate(given, max_new_tokens=20)
    assert [out.token_ids for out in again] == [out.token_ids for out in first]
    assert [each.captured for each in recorded] == captured
    assert again[0].stats.compile_seconds == 0


class Refuses(RecordedGraphs):
    """Cannot capture what it is asked to."""

    def capture(self, run: Callable[[], None], restore: Callable[[], None]) -> Callable[[], None]:
        run()
        raise RuntimeError("no room for it")


class Frozen(RecordedGraphs):
    """Replays nothing: results stay those of the place where they were captured."""

    def capture(self, run: Callable[[], None], restore: Callable[[], None]) -> Callable[[], None]:
        super().capture(run, restore)
        return lambda: None


class WritesWhereItDid(RecordedGraphs):
    """Reads where it is told to, but keeps the states where they were when it was captured."""

    def capture(self, run: Callable[[], None], restore: Callable[[], None]) -> Callable[[], None]:
        replay = super().capture(run, restore)
        assert self._last is not None
        for number, (func, args, *rest) in enumerate(self._last.calls):
            if func._schema.name == "aten::index_copy_":
                where = args[2].clone()
                self._last.calls[number] = (func, (*args[:2], where, *args[3:]), *rest)
        return replay


@pytest.mark.parametrize(
    ("capturer", "match"),
    [
        (Refuses, "a pass cannot be captured: RuntimeError: no room for it"),
        (Frozen, "a captured pass gives other logits at another place"),
        (WritesWhereItDid, "a captured pass gives other logits at another place"),
    ],
)
def test_where_a_capture_fails_the_texts_continue_eagerly(
    capturer: type[RecordedGraphs], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", capturer)
    decoder = decoder_of()
    given = prompts_of(decoder)
    expected = [plain_ids(decoder.model, ids, max_new_tokens=20) for ids in given]
    with pytest.warns(UagWarning, match=match) as said:
        outs = decoder.generate(given, max_new_tokens=20)
    assert len(said) == 2  # one for each model
    assert [out.token_ids for out in outs] == expected
    assert outs[-1].stats.engines["target"] == f"eager: {match}"
    again = decoder.generate(given, max_new_tokens=20)
    assert [out.token_ids for out in again] == expected


def test_hooks_and_new_weights_take_effect_with_the_next_call() -> None:
    decoder = decoder_of()
    model: PreTrainedModel = decoder.model
    given = prompts_of(decoder)

    def check() -> str:
        outs = decoder.generate(given, max_new_tokens=12)
        expected = [plain_ids(model, ids, max_new_tokens=12) for ids in given]
        assert [out.token_ids for out in outs] == expected
        return outs[0].stats.engines["target"]

    def adds(_: Any, inputs: Any, output: Any) -> None:
        output.logits[..., 7] += 30

    assert check() == "graphs"
    with model.register_forward_hook(adds):
        assert "LlamaForCausalLM has hooks" in check()
    assert check() == "graphs"
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.flip(0).clone())
    assert check() == "graphs"
