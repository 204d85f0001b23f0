"""Messages to the engine, and engines of processes that share a model."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from tests.support.torchrun import torchrun
from uag import OptionError, SpeculativeDecoder
from uag.serving.engine import ServingEngine
from uag.serving.inbox import Asked, Cancelled, Inbox, Job, Mute, Stop, Wake
from uag.serving.reply import Reply

JOB = Job("Once", {}, 1, None, "")


def test_messages_come_in_order() -> None:
    inbox, mute = Inbox(), Mute(1)
    messages = [Asked(mute, JOB), Cancelled(mute), Wake(), Stop()]
    for message in messages:
        inbox.put(message)
    assert inbox.take(wait=True) == messages
    assert inbox.take(wait=False) == inbox.rest() == []


def test_a_request_that_was_cancelled_before_it_is_taken_is_not_wanted() -> None:
    async def taken() -> list[bool]:
        inbox = Inbox()
        replies = [Reply(1, lambda _: None) for _ in range(2)]
        replies[0].cancel()
        for reply in replies:
            inbox.put(Asked(reply, JOB))
        return [message.wanted for message in inbox.take(wait=True) if isinstance(message, Asked)]

    assert asyncio.run(taken()) == [False, True]


def test_an_engine_alone_follows_nobody(decoder: SpeculativeDecoder) -> None:
    with pytest.raises(OptionError, match="no other process shares the model"):
        ServingEngine(decoder).follow()


SHARDED = """
import asyncio, json, sys, time
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import OptionError, SpeculativeDecoder
from uag.clock import set_clock
from uag.serving.engine import ServingEngine
from uag.serving.errors import ClosedError
from uag.serving.processors.logprobs import Record, Recorder
from uag.serving.reply import Ended, Piece

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
load = AutoModelForCausalLM.from_pretrained
model = load(sys.argv[1], tp_plan="auto", dtype=torch.float32).eval()
own = tokenizer("llama2")
decoder = SpeculativeDecoder(model, tokenizer("gpt2"), random_model("llama", own), own)
set_clock(lambda: time.perf_counter() * (1 + 30 * rank))
drawn = {"do_sample": True, "temperature": 0.9}
REQUESTS = [
    (PROMPT, {"max_new_tokens": 30}, 1, None),
    ("Once", {"max_new_tokens": 17, **drawn}, 1, 5),
    (PROMPT + " there", {"max_new_tokens": 9}, 1, None),
    (PROMPT, {"max_new_tokens": 25, **drawn}, 3, 6),
    ("One day", {"max_new_tokens": 40}, 1, None),
    (PROMPT, {"max_new_tokens": 12, **drawn, "logits_processor": [Recorder(Record(2))]}, 1, 7),
]


def by_generate(prompt, options, n, seed):
    if n == 1:
        return [decoder.generate(prompt, seed=seed, **options).token_ids]
    outs = decoder.generate(prompt, num_return_sequences=n, seed=seed, **options)
    return [out.token_ids for out in outs]


alone = [by_generate(*request) for request in REQUESTS]
engine = ServingEngine(decoder, batch_size=3, memory=1 << (24 + rank))


async def texts(prompt, options, n, seed, wait):
    await asyncio.sleep(wait)
    reply = engine.submit(prompt, options, count=n, seed=seed)
    ended = [event async for event in reply if isinstance(event, Ended)]
    return [event.output.token_ids for event in sorted(ended, key=lambda event: event.index)]


async def first_process():
    found = {}
    waits = [0, 0, 0.05, 0.1, 0.1, 0.3]
    asked = [texts(*request, wait) for request, wait in zip(REQUESTS, waits)]
    found["same"] = await asyncio.gather(*asked) == alone
    found["fresh"] = len((await texts(PROMPT, {"max_new_tokens": 8, **drawn}, 2, None, 0))[1])
    left = engine.submit(PROMPT, {"max_new_tokens": 150})
    early = engine.submit(PROMPT, {"max_new_tokens": 150})
    early.cancel()
    assert isinstance(await anext(left), Piece)
    left.cancel()
    while engine.running + engine.queued:
        await asyncio.sleep(0.01)
    for options in ({"logits_processor": [lambda ids, scores: scores]}, {"max_time": 3.0}):
        try:
            await engine.submit("Once", {"max_new_tokens": 4, **options}).read()
        except OptionError as error:
            found.setdefault("refused", []).append(str(error))
    found["again"] = [await texts(*REQUESTS[1], 0)] == alone[1:2]
    last = engine.submit(PROMPT, {"max_new_tokens": 200})
    assert isinstance(await anext(last), Piece)
    await asyncio.to_thread(engine.close, 0)
    try:
        async for _ in last:
            pass
    except ClosedError as error:
        found["stopped"] = str(error)
    return found


if rank == 0:
    engine.start()
    found = asyncio.run(first_process())
else:
    engine.follow()
    found = {}
with open(f"{sys.argv[1]}/rank{rank}.json", "w") as file:
    json.dump(found | {"state": engine.state}, file)
dist.barrier()
dist.destroy_process_group()
"""


def test_processes_that_share_a_model(tmp_path: Path) -> None:
    random_model("llama", tokenizer("gpt2")).save_pretrained(tmp_path)
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED)
    command, environment = torchrun(str(script), str(tmp_path))
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["same"] and first["again"] and first["fresh"] > 0
    assert "cannot be sent to the other processes" in first["refused"][0]
    assert "max_time" in first["refused"][1]
    assert "closed" in first["stopped"]
    assert first["state"] == second["state"] == "closed"
