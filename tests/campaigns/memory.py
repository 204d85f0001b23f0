"""Memory stays flat over many generations in one process.

    python -m tests.campaigns.memory --generations 10000

The kinds of calls take turns: greedy and drawn, alone, in batches and as streams that are left
half-way. What is counted after each tenth is the objects that Python's collector knows, which
repeat exactly, and the process's memory, which allocators round."""

import gc
from collections.abc import Callable
from typing import Annotated, Any

import psutil
import typer

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder

PARTS = 10

# What an allocator may keep, in MiB: a leak of 1 KiB a generation would be 10 of them in 10,000.
SLACK = 8.0


def calls(decoder: SpeculativeDecoder, length: int = 12) -> list[Callable[[], Any]]:
    """Every way to generate."""
    greedy: dict[str, Any] = {"max_new_tokens": length}
    drawn = greedy | {"do_sample": True, "seed": 1}
    ids = decoder.tokenizer(PROMPT, return_tensors="pt")
    return [
        lambda: decoder.generate(PROMPT, **greedy),
        lambda: decoder.generate(PROMPT, **drawn),
        lambda: decoder.generate([PROMPT, "One day"], **greedy),
        lambda: decoder.generate([PROMPT, "One day"], **drawn),
        lambda: next(decoder.stream(PROMPT, **greedy)),
        lambda: decoder.generate(PROMPT, trace=True, **greedy),
        lambda: decoder.model.generate(**ids, custom_generate=decoder, **greedy),
    ]


def measured(turns: list[Callable[[], Any]], generations: int) -> list[tuple[int, float]]:
    """(objects, MiB) after each tenth of so many generations, of which the first are not counted.

    >>> len(measured([list], 100))
    10
    """
    process = psutil.Process()
    found: list[tuple[int, float]] = []
    each = max(len(turns), generations // PARTS)
    for part in range(PARTS):
        for call in range(each):
            turns[(part * each + call) % len(turns)]()
        gc.collect()
        found.append((len(gc.get_objects()), process.memory_info().rss / 2**20))
    return found


def decoder_of(lookahead: int | str = 4) -> SpeculativeDecoder:
    """A pair of tiny models, whose drafts are trees where a text is alone."""
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant, seed=1)
    return SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=lookahead, tree=15)


def main(
    generations: Annotated[int, typer.Option(min=100, help="How many in all.")] = 10_000,
    lookahead: Annotated[str, typer.Option(help="A number, auto or heuristic.")] = "auto",
) -> None:
    """Generate, and say what is kept; exit status 1 if that grows."""
    decoder = decoder_of(int(lookahead) if lookahead.isdigit() else lookahead)
    found = measured(calls(decoder), generations)
    typer.echo("generations    objects      MiB")
    for part, (objects, memory) in enumerate(found, 1):
        typer.echo(f"{part * generations // PARTS:11,} {objects:10,} {memory:8.1f}")
    # Behind the first half, by which everything that is made once has been made.
    middle, last = found[PARTS // 2], found[-1]
    objects, memory = last[0] - middle[0], last[1] - middle[1]
    flat = objects <= PARTS and memory <= SLACK
    typer.echo(
        f"second half: {objects:+,} objects, {memory:+.1f} MiB: {'flat' if flat else 'GROWS'}"
    )
    raise typer.Exit(not flat)


if __name__ == "__main__":
    typer.run(main)
