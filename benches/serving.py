"""What do servers give to several clients at the same time, and what do they cost?

    python -m benches.serving                                        # the demo pair
    python -m benches.serving --target T --assistant A --prompts FILE

`uag serve` without and with the assistant, and `transformers serve` one request at a time and with
`--continuous-batching`, each in a process of its own, one after the other. Each client sends its
next request when the last has ended; all servers get the same prompts, and write
`--max-new-tokens` for each, greedy. Requests share no cache. Before each measurement every client
asks once. Columns: milliseconds to the first token and between two events of a stream, processor
seconds and memory (MiB) of all processes of the server. A server that does not come up is left out,
with the reason.

Then a text grows by turns in `uag serve`: milliseconds to the first token of the last turn, if the
server may go on from what it has read, and if each turn says that it must not (`cache_salt`).
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import typer

from benches.clients import Heard
from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    MaxNewTokens,
    Results,
    Runs,
    Target,
    console,
    needed,
    pair_names,
    split,
    write_json,
)
from benches.servers import ASSISTED, Kind, Server, kinds, running

SENTENCE = " The next day they went to the park again, and they were happy."


@dataclass
class Point:
    """What a number of clients got.

    Attributes:
        heard: all answers.
        seconds: from the first request to the last end.
        processor: seconds of the server meanwhile.
        bytes: of the server at the end.
    """

    heard: list[Heard]
    seconds: float
    processor: float
    bytes: int

    def cells(self) -> list[str]:
        """The numbers of a row."""
        firsts = [1000 * heard.times[0] for heard in self.heard]
        gaps = [1000 * gap for heard in self.heard for gap in heard.gaps]
        tokens = sum(heard.tokens for heard in self.heard)
        return [
            f"{tokens / self.seconds:.0f}",
            f"{percentile(firsts, 0.5):.0f}",
            f"{percentile(firsts, 0.95):.0f}",
            f"{percentile(gaps, 0.95):.0f}",
            f"{self.processor:.2f}",
            f"{self.bytes / 2**20:.0f}",
            str(tokens),
        ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


async def measured(server: Server, prompts: list[str], clients: int, new: int) -> Point:
    """Have so many clients ask for all prompts, each for the next one that is left."""
    heard: list[Heard] = []

    async def client(left: Any) -> None:
        for prompt in left:
            answer = await server.complete_alone(prompt, new)
            heard.append(answer)

    async def all_clients(asked: Sequence[str]) -> float:
        left, start = iter(asked), perf_counter()
        await asyncio.gather(*(client(left) for _ in range(clients)))
        return perf_counter() - start

    await all_clients(prompts[:clients])
    heard.clear()
    before = server.processor_seconds
    seconds = await all_clients(prompts)
    return Point(heard, seconds, server.processor_seconds - before, server.bytes)


async def last_turn(server: Server, new: int, turns: int, salt: str) -> tuple[float, int]:
    """Seconds to the first token of the last turn, and how many ids were not read again.

    With a `{}` in the `salt` no turn goes on from another one.
    """
    text = "Once upon a time, there was a little girl named Lily." + 20 * SENTENCE
    heard = Heard()
    for turn in range(turns):
        heard = await server.complete(text, new, cache_salt=salt.format(turn))
        text += heard.text + SENTENCE
    return heard.times[0], heard.usage["prompt_tokens_details"]["cached_tokens"]


async def grown(server: Server, new: int, turns: int, runs: int) -> list[tuple[str, ...]]:
    """What reading nothing twice saves: for both ways, milliseconds and ids."""
    found: dict[str, list[tuple[float, int]]] = {"goes on": [], "anew": []}
    for run in range(runs):
        for name, salt in (("goes on", f"on {run}"), ("anew", f"anew {run}, {{}}")):
            found[name].append(await last_turn(server, new, turns, salt))
    middle = {name: median(each for each, _ in times) for name, times in found.items()}
    return [
        (
            name,
            f"{1000 * middle[name]:.0f}",
            str(times[-1][1]),
            f"{middle[name] / middle['anew']:.2f}",
        )
        for name, times in found.items()
    ]


async def all_points(
    server: Server, texts: list[str], clients: str, new: int
) -> list[tuple[int, Point]]:
    """What each number of clients got from a server."""
    counts = map(int, split(clients))
    return [(count, await measured(server, texts, count, new)) for count in counts]


def main(
    target: Target = None,
    assistant: Assistant = None,
    prompts: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Text file, one prompt a line."),
    ] = None,
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,4,8,16",
    requests: Annotated[int, typer.Option(min=1, help="Requests of each measurement.")] = 32,
    max_new_tokens: MaxNewTokens = 64,
    server: Annotated[
        list[str] | None, typer.Option(help="Only a server of this name; may be repeated.")
    ] = None,
    turns: Annotated[int, typer.Option(min=2, help="Turns of the text that grows.")] = 6,
    runs: Runs = 5,
    dtype: Dtype = "float32",
    json_file: JsonFile = None,
) -> None:
    """Load each server with several numbers of clients."""
    from uag.benchmark.compare import PROMPTS

    one, two = pair_names(target, assistant)
    lines = prompts.read_text(encoding="utf-8").splitlines() if prompts else PROMPTS
    texts = [*islice(cycle(lines), requests)]
    columns = ("clients", "tokens/s", "first p50", "p95", "gap p95", "CPU s")
    loads = Results("server", *columns, "MiB", "tokens")
    grows = Results("text", f"turn {turns}, ms", "ids not read", "x anew")

    async def load(kind: Kind) -> None:
        async with running(kind) as started:
            for count, point in await all_points(started, texts, clients, max_new_tokens):
                loads.add(kind.name, str(count), *point.cells())
            loads.end_section()
            if kind.name == ASSISTED:
                for row in await grown(started, 16, turns, runs):
                    grows.add(*row)

    for kind in kinds(one, needed(two), dtype, max_new_tokens):
        if server is None or kind.name in server:
            try:
                asyncio.run(load(kind))
            except RuntimeError as error:
                console.print(f"{kind.name} {error}")
    loads.show()
    grows.show()
    write_json(json_file, {"load": loads.rows, "text that grows": grows.rows})


if __name__ == "__main__":
    typer.run(main)
