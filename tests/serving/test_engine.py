"""Texts that come and go are those that each request gives alone, and nothing holds them up."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor

from tests.support.models import random_model
from tests.support.stories import PROMPTS
from tests.support.tokenizers import tokenizer
from uag import OptionError, PromptError, SpeculativeDecoder
from uag.batching.batch_cache import Batch
from uag.batching.scheduler import PassRequest
from uag.decoding.output import Output
from uag.demo import demo_decoder
from uag.serving.engine import DEAD, PROMPT_IDS, ServingEngine
from uag.serving.errors import ClosedError, DoesNotFitError, OverloadedError
from uag.serving.reply import Ended, Piece, Reply

STORY = " ".join(PROMPTS)
GREEDY = {"max_new_tokens": 20, "do_sample": False}


@pytest.fixture(scope="module")
def decoder() -> SpeculativeDecoder:
    return demo_decoder()


async def outputs(reply: Reply) -> list[Output]:
    """All texts of a reply; each is what its pieces give when joined."""
    pieces: dict[int, list[Piece | Ended]] = {index: [] for index in range(reply.count)}
    async for event in reply:
        pieces[event.index].append(event)
    outs: list[Output] = []
    for events in pieces.values():
        *told, end = events
        assert isinstance(end, Ended)
        assert "".join(piece.text for piece in told) == end.output.text
        rounds = [done for event in events for done in event.rounds]
        assert rounds == end.output.stats.history
        outs.append(end.output)
    return outs


async def until(condition: Callable[[], bool], seconds: float = 20) -> float:
    """Wait for a condition; the seconds that it took."""
    start = perf_counter()
    while not condition():
        assert perf_counter() - start < seconds
        await asyncio.sleep(0.001)
    return perf_counter() - start


def random_request(random: Random) -> tuple[str, dict[str, Any], int, int | None]:
    """A prompt, options, the number of texts, and a seed."""
    words = STORY.split()
    start = random.choice([0, 0, 0, random.randrange(200)])
    prompt = " ".join(words[start : start + random.choice([1, 3, 9, 40, 150])])
    options: dict[str, Any] = {"max_new_tokens": random.randint(1, 40), "do_sample": False}
    if random.random() < 0.5:
        options |= {"do_sample": True, "temperature": random.choice([0.7, 1.0]), "top_p": 0.95}
        return prompt, options, random.choice([1, 1, 2]), random.randrange(1000)
    return prompt, options, 1, None


@pytest.mark.parametrize("count", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_staggered_texts_are_those_of_each_alone(decoder: SpeculativeDecoder, count: int) -> None:
    random = Random(3)
    requests = [random_request(random) for _ in range(count)]
    waits = [random.expovariate(1 / 0.03) for _ in requests]

    async def ask(engine: ServingEngine) -> list[list[Output]]:
        tasks: list[asyncio.Task[list[Output]]] = []
        for (prompt, options, number, seed), wait in zip(requests, waits, strict=True):
            await asyncio.sleep(wait)
            await until(lambda: engine.queued < 60)
            reply = engine.submit(prompt, options, count=number, seed=seed)
            tasks.append(asyncio.create_task(outputs(reply)))
        return [await task for task in tasks]

    with ServingEngine(decoder, batch_size=8) as engine:
        found = asyncio.run(ask(engine))
        assert (engine.running, engine.queued) == (0, 0)
    for (prompt, options, number, seed), outs in zip(requests, found, strict=True):
        several = {"num_return_sequences": number} if number > 1 else {}
        alone = decoder.generate([prompt], seed=seed, **several, **options)
        assert [out.token_ids for out in outs] == [out.token_ids for out in alone]
        assert [out.finish_reason for out in outs] == [out.finish_reason for out in alone]


def test_requests_that_are_cancelled_leave_at_once(decoder: SpeculativeDecoder) -> None:
    async def ask(engine: ServingEngine) -> None:
        long = {"max_new_tokens": 400, "do_sample": False, "min_new_tokens": 300}
        replies = [engine.submit(text, long) for text in PROMPTS[:8]]
        for reply in replies:
            async for event in reply:
                if event.rounds and len(reply.prompt_ids) >= 0:
                    break
        for reply in replies:
            reply.cancel()
            reply.cancel()
        await until(lambda: engine.running + engine.queued == 0)
        waiting = engine.submit("Once", long)
        waiting.cancel()  # before it was read
        (out,) = await outputs(engine.submit("Once", GREEDY))
        assert out.token_ids == decoder.generate("Once", **GREEDY).token_ids
        await until(lambda: engine.running + engine.queued == 0)

    with ServingEngine(decoder, batch_size=8) as engine:
        asyncio.run(ask(engine))


def test_places_are_taken_at_once_and_given_back(decoder: SpeculativeDecoder) -> None:
    async def ask(engine: ServingEngine) -> None:
        replies, refused = list[Reply](), 0
        for _ in range(30):
            try:
                replies.append(engine.submit("Once", GREEDY))
            except OverloadedError as error:
                refused += 1 <= error.retry_after <= 60
        assert refused == 30 - (4 + 6)
        for outs in await asyncio.gather(*map(outputs, replies)):
            assert len(outs[0].token_ids) == 20
        with pytest.raises(OptionError, match="places for 10"):
            engine.submit("Once", GREEDY, count=11)
        with pytest.raises(PromptError):
            await engine.submit([10**9], GREEDY).read()
        with pytest.raises(OptionError):
            await outputs(engine.submit("Once", {"max_new_tokens": -1}))
        await until(lambda: engine.queued == 0)

    with ServingEngine(decoder, batch_size=4, max_queued=6) as engine:
        asyncio.run(ask(engine))


class PassesWatched:
    """What passes of the batches read: ids of prompts, and whether they served texts under way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blocks: list[tuple[int, int]] = []
        forward = Batch.forward

        def watched(batch: Batch, requests: Sequence[PassRequest]) -> list[torch.Tensor]:
            self.blocks.append((len(requests), max(len(each.ids) for each in requests)))
            return forward(batch, requests)

        monkeypatch.setattr(Batch, "forward", watched)


def test_newcomers_with_long_prompts_hold_others_back_by_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = demo_decoder(lookahead=3)
    passes = PassesWatched(monkeypatch)
    random = Random(0)

    async def ask(engine: ServingEngine) -> None:
        under_way = [engine.submit(text, GREEDY | {"max_new_tokens": 60}) for text in PROMPTS[:4]]
        first = [asyncio.create_task(outputs(reply)) for reply in under_way]
        await until(lambda: engine.running == 4)
        prompts = [[random.randrange(10, 900) for _ in range(440)] for _ in range(8)]
        newcomers = [engine.submit(ids, GREEDY) for ids in prompts]
        found = [await outputs(reply) for reply in newcomers]
        for ids, (out,) in zip(prompts, found, strict=True):
            assert out.token_ids == decoder.generate(ids, **GREEDY).token_ids
        for task in first:
            await task

    with ServingEngine(decoder, batch_size=16) as engine:
        asyncio.run(ask(engine))
    blocks = passes.blocks
    assert max(rows * width for rows, width in blocks if width > 40) <= PROMPT_IDS
    assert sum(width > 400 for _, width in blocks) >= 16  # both models read eight prompts


class Raises(LogitsProcessor):
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] > 8:
            raise RuntimeError("a processor of the user's")
        return scores


def test_an_error_ends_its_own_request_only(
    decoder: SpeculativeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Batch.forward

    def narrow(batch: Batch, requests: Sequence[PassRequest]) -> list[torch.Tensor]:
        if len(requests) > 2:
            raise torch.OutOfMemoryError("as if")
        return forward(batch, requests)

    monkeypatch.setattr(Batch, "forward", narrow)

    async def ask(engine: ServingEngine) -> None:
        texts = [*PROMPTS[:5]]
        replies = [engine.submit(text, GREEDY) for text in texts]
        wrong = engine.submit("Once upon", GREEDY | {"logits_processor": [Raises()]})
        with pytest.raises(RuntimeError, match="of the user's"):
            await outputs(wrong)
        for text, reply in zip(texts, replies, strict=True):
            (out,) = await outputs(reply)
            assert out.token_ids == decoder.generate(text, **GREEDY).token_ids
        await until(lambda: engine.queued == 0)

    with ServingEngine(decoder) as engine:
        asyncio.run(ask(engine))


def test_closing_waits_for_texts_and_then_ends_them(decoder: SpeculativeDecoder) -> None:
    async def ask(engine: ServingEngine, grace: float, options: dict[str, Any]) -> list[Any]:
        replies = [engine.submit(text, options) for text in PROMPTS[:3]]
        tasks = [asyncio.create_task(outputs(reply)) for reply in replies]
        await until(lambda: engine.running == 3)
        await asyncio.to_thread(engine.close, grace)
        with pytest.raises(ClosedError):
            engine.submit("Once", GREEDY)
        return await asyncio.gather(*tasks, return_exceptions=True)

    engine = ServingEngine(decoder)
    engine.start()
    found = asyncio.run(ask(engine, 30, GREEDY))
    assert [len(out.token_ids) for (out,) in found] == [20, 20, 20]
    engine = ServingEngine(decoder)
    engine.start()
    found = asyncio.run(ask(engine, 0.0, GREEDY | {"max_new_tokens": 400, "min_new_tokens": 300}))
    assert [type(error) for error in found] == [ClosedError] * 3


def test_a_device_that_fails_for_good_ends_the_engine(
    decoder: SpeculativeDecoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uag.serving.engine._is_final", lambda _: True)

    async def ask(engine: ServingEngine) -> None:
        with pytest.raises(RuntimeError):
            await outputs(engine.submit("Once upon", GREEDY | {"logits_processor": [Raises()]}))
        await until(lambda: engine.state == DEAD)
        with pytest.raises(ClosedError, match="dead"):
            engine.submit("Once", GREEDY)

    with ServingEngine(decoder) as engine:
        asyncio.run(ask(engine))
    assert engine.state == DEAD and "the engine has failed" in capsys.readouterr().err


def test_turns_of_a_chat_read_only_what_is_new(
    decoder: SpeculativeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = PassesWatched(monkeypatch)

    async def ask(engine: ServingEngine) -> list[int]:
        text, read = " ".join(STORY.split()[:120]), list[int]()
        for turn in range(4):
            before = len(passes.blocks)
            reply = engine.submit(text, GREEDY, owner="other" if turn == 3 else "")
            (out,) = await outputs(reply)
            assert out.token_ids == decoder.generate(text, **GREEDY).token_ids
            taken = out.stats.cached_tokens
            assert taken == 0 if turn in (0, 3) else taken > 0.7 * len(reply.prompt_ids)
            read.append(max(width for _, width in passes.blocks[before:]))
            text += out.text + " One day they went home."
        return read

    with ServingEngine(decoder) as engine:
        read = asyncio.run(ask(engine))
        assert engine.kept_bytes > 0
    assert read[0] > 100 and read[3] > 100 and max(read[1:3]) < 40


def test_texts_wait_for_memory_and_what_can_never_fit_is_refused(
    decoder: SpeculativeDecoder,
) -> None:
    with ServingEngine(decoder, memory=10**9) as measured:
        asyncio.run(_one(measured))
        assert measured._memory is not None
        id_bytes = sum(measured._memory.id_bytes.values())

    async def ask(engine: ServingEngine) -> None:
        replies = [engine.submit("Once", GREEDY | {"max_new_tokens": 100}) for _ in range(6)]
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, engine.running)
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*map(outputs, replies))
        watching.cancel()
        assert most == 2
        with pytest.raises(DoesNotFitError):
            await engine.submit("Once", GREEDY | {"max_new_tokens": 500}).read()

    # Room for two rows of 101 ids and what is added to them.
    with ServingEngine(decoder, memory=round(2.5 * (101 + 128) * id_bytes / 0.75)) as engine:
        asyncio.run(ask(engine))


async def _one(engine: ServingEngine) -> None:
    await outputs(engine.submit("Once", GREEDY))


def test_a_model_that_reads_one_text_at_a_time_is_served_too() -> None:
    words = tokenizer("qwen2")
    model = random_model("mamba", words)
    decoder = SpeculativeDecoder(model, words)

    async def ask(engine: ServingEngine) -> None:
        cancelled = engine.submit(
            "Once", GREEDY | {"max_new_tokens": 10_000, "min_new_tokens": 300}
        )
        replies = [engine.submit(text, GREEDY) for text in ("One day", "The dog")]
        async for _ in cancelled:
            break
        cancelled.cancel()
        for text, reply in zip(("One day", "The dog"), replies, strict=True):
            (out,) = await outputs(reply)
            assert out.token_ids == decoder.generate(text, **GREEDY).token_ids
        endless = engine.submit("Once", GREEDY | {"max_new_tokens": 10_000, "min_new_tokens": 300})
        async for _ in endless:
            break
        await asyncio.to_thread(engine.close, 0)
        with pytest.raises(ClosedError):
            await outputs(endless)

    with ServingEngine(decoder) as engine:
        assert engine.batch_size == 1
        asyncio.run(ask(engine))
