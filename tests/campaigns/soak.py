"""A server under load for long, with clients that leave: every text right, memory flat.

    python -m tests.campaigns.soak --minutes 30

`--clients` clients ask `uag serve` of the demo pair for texts, greedy and with seeds, whole and as
streams, alone and turn after turn. A third of them leave before the end. What is told to the others
is compared with `decoder.generate`. Then 8 streams run, and leave at the same time: how long
`/health` takes to answer meanwhile, and how long it takes until nothing runs.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from statistics import median
from typing import Annotated, Any

import httpx
import psutil
import typer

from tests.support.server_process import server_process
from tests.support.stories import PROMPTS
from uag.demo import demo_decoder

# Texts whose right continuation is computed beforehand.
DIFFERENT = 60
EVERY = 30.0  # seconds between two lines
LEAVERS = 8


def requests() -> list[tuple[dict[str, Any], str]]:
    """Bodies of requests, and the text of each by `generate`."""
    decoder, random = demo_decoder(), Random(0)
    made: list[tuple[dict[str, Any], str]] = []
    for number in range(DIFFERENT):
        words = " ".join(random.sample(PROMPTS, random.choice([1, 1, 4, 12])))
        body: dict[str, Any] = {"prompt": words, "max_tokens": random.randint(1, 60)}
        options: dict[str, Any] = {"max_new_tokens": body["max_tokens"], "do_sample": False}
        if number % 2:
            body |= {"seed": number, "temperature": 0.8}
            options |= {"do_sample": True, "temperature": 0.8, "top_k": 0}
        else:
            body["temperature"] = 0
        seed = {"seed": number} if number % 2 else {}
        made.append((body, decoder.generate(words, **seed, **options).text))
    return made


async def ask(client: httpx.AsyncClient, body: dict[str, Any], leaves: float | None) -> str | None:
    """The text of a stream; `None` after leaving, or if there was no place."""
    told: list[str] = []
    began = time.monotonic()
    async with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as answer:
        if answer.status_code == 429:
            return None
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if leaves is not None and time.monotonic() - began > leaves:
                return None
            if line.startswith("data: {"):
                choices = json.loads(line.removeprefix("data: "))["choices"]
                told += [choice["text"] for choice in choices]
    return "".join(told)


async def soak(url: str, process: psutil.Process, minutes: float, clients: int) -> Counter[str]:
    """Ask until the time is over; how many texts were right, wrong, and left."""
    counts, pool, ends = Counter[str](), requests(), time.monotonic() + 60 * minutes
    limits = httpx.Limits(max_connections=2 * clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:

        async def go_on(seed: int) -> None:
            random = Random(seed)
            while time.monotonic() < ends:
                body, expected = random.choice(pool)
                leaves = random.expovariate(10) if random.random() < 1 / 3 else None
                text = await ask(client, body, leaves)
                if text is None:
                    counts["left"] += 1
                elif text == expected:
                    counts["right"] += 1
                else:
                    counts["wrong"] += 1
                    typer.echo(f"WRONG {body}: {text!r} and not {expected!r}")

        async def watch() -> None:
            while True:
                await asyncio.sleep(EVERY)
                memory = process.memory_info().rss / 1e6
                typer.echo(f"{dict(counts)}, {memory:.0f} MB, {await running(client)} running")

        watching = asyncio.create_task(watch())
        await asyncio.gather(*map(go_on, range(clients)))
        watching.cancel()
        left, health = list[float](), list[float]()
        for _ in range(5):
            left.append(await until_free(client, health))
        health.sort()
        middle, late = health[len(health) // 2], health[round(0.99 * len(health)) - 1]
        typer.echo(
            f"beside {LEAVERS} streams /health took {1000 * middle:.0f} ms (p99 "
            f"{1000 * late:.0f}); they left, and nothing ran after {1000 * median(left):.0f} ms"
        )
    return counts


async def running(client: httpx.AsyncClient) -> int:
    """How many texts the server decodes."""
    lines = (await client.get("/metrics")).text.splitlines()
    return int(
        float(next(line for line in lines if line.startswith("uag_requests_running")).split()[1])
    )


async def until_free(client: httpx.AsyncClient, health: list[float]) -> float:
    """Begin streams of long texts, leave them, and wait until nothing runs; seconds of that.

    Adds to `health` the seconds of some of its answers before.
    """
    body = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "temperature": 0}
    streams = [asyncio.create_task(ask(client, body, leaves=None)) for _ in range(LEAVERS)]
    await until_running(client, LEAVERS, streams)
    for _ in range(20):
        began = time.perf_counter()
        await client.get("/health")
        health.append(time.perf_counter() - began)
    began = time.perf_counter()
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    await until_running(client, 0)
    return time.perf_counter() - began


async def until_running(
    client: httpx.AsyncClient, count: int, streams: Sequence[asyncio.Task[str | None]] = ()
) -> None:
    """Wait until the server decodes so many texts, as its metrics say, or a stream has ended."""
    while await running(client) != count:
        for stream in streams:
            if stream.done():
                raise AssertionError(f"a stream ended before all had begun: {stream!r}")
        await asyncio.sleep(0.002)


def main(
    minutes: Annotated[float, typer.Option(help="how long")] = 30.0,
    clients: Annotated[int, typer.Option(help="how many at the same time")] = 8,
) -> None:
    """Run the server and its clients, and print what came out."""
    with server_process("--memory", "200") as server:
        process = psutil.Process(server.process.pid)
        counts = asyncio.run(soak(server.url, process, minutes, clients))
        typer.echo(f"{dict(counts)}; at the end {process.memory_info().rss / 1e6:.0f} MB")
    raise typer.Exit(bool(counts["wrong"]))


if __name__ == "__main__":
    typer.run(main)
