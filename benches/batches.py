"""Tokens a second of batches: `model.generate` on a padded batch beside the decoder, in turn.

    python benches/batches.py                                    # the demo pair
    python benches/batches.py TARGET ASSISTANT --prompts FILE    # folders, a text file of lines

Greedy, the same prompts for both, after an untimed run. "plain" is `model.generate` without an
assistant; a ratio is the median over neighbours in time.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console
from rich.table import Table

from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS
from uag.demo import demo_decoder
from uag.lookahead.schedules import parse_lookahead
from uag.models.cached_lm import id_list


def padded(decoder: SpeculativeDecoder, prompts: list[list[int]]) -> dict[str, torch.Tensor]:
    """What `model.generate` takes: filled up on the left."""
    longest = max(map(len, prompts))
    rows = [[0] * (longest - len(ids)) + ids for ids in prompts]
    mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
    device = decoder.model.device
    return {
        "input_ids": torch.tensor(rows, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }


def plain(decoder: SpeculativeDecoder, prompts: list[list[int]], count: int) -> list[list[int]]:
    """The new ids of each row by `model.generate`, filled up behind its end."""
    generate = cast("Callable[..., torch.Tensor]", decoder.model.generate)
    out = generate(
        **padded(decoder, prompts), do_sample=False, max_new_tokens=count, pad_token_id=0
    )
    return [id_list(row[max(map(len, prompts)) :]) for row in out]


def timed(run: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float]:
    """A result and the seconds it took."""
    start = perf_counter()
    result = run(*args, **options)
    return result, perf_counter() - start


def main(
    target: Annotated[str | None, typer.Argument()] = None,
    assistant: Annotated[str | None, typer.Argument()] = None,
    prompts: Path | None = None,
    sizes: Annotated[str, typer.Option(help="Batch sizes.")] = "1,2,4,8",
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 100,
    runs: Annotated[int, typer.Option(min=1)] = 3,
    lookahead: str = "auto",
    dtype: str = "auto",
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Print a table."""
    torch.set_num_threads(threads)
    ahead = parse_lookahead(lookahead)
    if target is None:
        decoder = demo_decoder(lookahead=ahead)
    else:
        decoder = SpeculativeDecoder.from_pretrained(
            target, assistant, lookahead=ahead, dtype=dtype, trust_remote_code=True
        )
    alone = SpeculativeDecoder(decoder.model, decoder.tokenizer)
    lines = prompts.read_text(encoding="utf-8").splitlines() if prompts else [*PROMPTS] * 2
    table = Table("rows")
    for title in ("plain", "uag, no assistant", "uag", "x plain", "tokens per pass", "same ids"):
        table.add_column(title, justify="right")
    for size in map(int, sizes.split(",")):
        texts = [decoder.tokenizer(text)["input_ids"] for text in islice(lines, size)]
        options: dict[str, Any] = {"do_sample": False, "max_new_tokens": max_new_tokens}
        times: list[tuple[float, float, float]] = []
        same = passes = ids = 0
        for run in range(runs + 1):
            expected, first = timed(plain, decoder, texts, max_new_tokens)
            _, second = timed(alone.generate, texts, **options)
            outs, third = timed(decoder.generate, texts, **options)
            if run:
                times.append((first, second, third))
                same = sum(
                    row[: len(out.token_ids)] == out.token_ids
                    for row, out in zip(expected, outs, strict=True)
                )
                ids = sum(len(out.token_ids) for out in outs)
                passes = max(out.stats.target_forwards for out in outs)
        rates = [ids / median(each) for each in zip(*times, strict=True)]
        ratio = median(first / third for first, _, third in times)
        table.add_row(
            str(size),
            *(f"{rate:.1f}" for rate in rates),
            f"{ratio:.2f}",
            f"{ids / size / passes:.2f}",
            f"{same} of {size}",
        )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
