"""How many tokens a second do batches give, beside `model.generate` on the padded batch?

    python -m benches.batches                                        # the demo pair
    python -m benches.batches --target T --assistant A --prompts FILE

Greedy, the same prompts for all methods, in turn, after a run that is not timed. "plain" is
`model.generate` without an assistant; a ratio is the median over neighbours in time.
"""

from itertools import islice
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    Lookahead,
    MaxNewTokens,
    Results,
    Runs,
    Target,
    Threads,
    Trust,
    begin,
    load_pair,
    split,
    timed,
)
from uag import SpeculativeDecoder


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
    """The new ids of each row by `model.generate`, filled up after its end."""
    model: Any = decoder.model
    out = model.generate(
        **padded(decoder, prompts), do_sample=False, max_new_tokens=count, pad_token_id=0
    )
    return out[:, max(map(len, prompts)) :].tolist()


def main(
    target: Target = None,
    assistant: Assistant = None,
    prompts: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Text file, one prompt a line."),
    ] = None,
    sizes: Annotated[str, typer.Option(help="Batch sizes.")] = "1,2,4,8",
    max_new_tokens: MaxNewTokens = 100,
    runs: Runs = 3,
    lookahead: Lookahead = "auto",
    dtype: Dtype = "auto",
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time batches of several sizes."""
    from uag.benchmark.compare import PROMPTS
    from uag.lookahead.schedules import parse_lookahead

    begin(threads)
    decoder = load_pair(
        target,
        assistant,
        lookahead=parse_lookahead(lookahead),
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    unassisted = SpeculativeDecoder(decoder.model, decoder.tokenizer)
    lines = prompts.read_text(encoding="utf-8").splitlines() if prompts else [*PROMPTS] * 2
    results = Results(
        "rows", "plain", "uag, no assistant", "uag", "x plain", "tokens per pass", "same ids"
    )
    for size in map(int, split(sizes)):
        texts = [decoder.tokenizer(text)["input_ids"] for text in islice(lines, size)]
        options: dict[str, Any] = {"do_sample": False, "max_new_tokens": max_new_tokens}
        times: list[tuple[float, float, float]] = []
        same = passes = ids = 0
        for run in range(runs + 1):
            expected, first = timed(plain, decoder, texts, max_new_tokens)
            _, second = timed(unassisted.generate, texts, **options)
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
        results.add(
            str(size),
            *(f"{rate:.1f}" for rate in rates),
            f"{ratio:.2f}",
            f"{ids / size / passes:.2f}",
            f"{same} of {size}",
        )
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
