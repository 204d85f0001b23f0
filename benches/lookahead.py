"""Ways to choose how far to draft, in turn, against decoding plainly.

    python benches/lookahead.py STORIES TARGET ASSISTANT [--ways auto,3,6,11,20,heuristic,sure0.4]

A way is "auto", a number, "heuristic" (transformers' schedule for two tokenizers), or "sure" with a
probability: at most 20 ids, until the assistant is less sure of one than that (transformers'
`assistant_confidence_threshold`, whose default is 0.4).
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import torch
import typer
from acceptance import story_openings
from rich.console import Console
from rich.progress import track
from rich.table import Table

from uag import Round, SpeculativeDecoder
from uag.draft import GoesOn
from uag.lookahead.schedules import parse_lookahead

MOST = 20


@dataclass(frozen=True)
class Sure:
    """Drafts until the assistant is less sure than `threshold`."""

    threshold: float

    def start(self) -> None:
        pass

    def next_k(self) -> int:
        return MOST

    def goes_on(self) -> GoesOn:
        return lambda confidence: confidence >= self.threshold

    def update(self, done: Round) -> None:
        pass


@dataclass
class Sums:
    """What one way came to."""

    tokens: int = 0
    seconds: float = 0.0
    forwards: int = 0
    drafted: int = 0

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def way(name: str) -> "int | str | Sure":
    """The `lookahead=` that a name stands for."""
    if name.startswith("sure"):
        return Sure(float(name.removeprefix("sure")))
    return parse_lookahead(name)


def main(
    stories: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    target: str,
    assistant: str,
    ways: str = "auto,1,3,6,11,20,heuristic,sure0.4",
    prompts: Annotated[int, typer.Option(min=1)] = 4,
    runs: Annotated[int, typer.Option(min=1)] = 2,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 150,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Time every way on the same texts."""
    torch.set_num_threads(threads)
    first = SpeculativeDecoder.from_pretrained(
        target, assistant, dtype="auto", trust_remote_code=True
    )
    parts = first.model, first.tokenizer, first.assistant, first.assistant_tokenizer
    decoders = {"plain": SpeculativeDecoder(first.model, first.tokenizer)} | {
        name: SpeculativeDecoder(*parts, lookahead=way(name), lookup=False)
        for name in ways.split(",")
    }
    texts = story_openings(stories, prompts)
    sums = {name: Sums() for name in decoders}
    # The first text warms up.
    for number, text in enumerate(track(texts[:1] + texts * runs, console=Console(stderr=True))):
        for name, decoder in decoders.items():
            start = perf_counter()
            out = decoder.generate(text, do_sample=False, max_new_tokens=max_new_tokens)
            seconds = perf_counter() - start
            if number:
                each = sums[name]
                each.tokens += len(out.token_ids)
                each.seconds += seconds
                each.forwards += out.stats.target_forwards
                each.drafted += out.stats.drafted
    table = Table("lookahead", "tokens/s", "x plain", "tokens per forward", "drafted a round")
    for name, each in sums.items():
        table.add_row(
            name,
            f"{each.speed:.1f}",
            f"{each.speed / sums['plain'].speed:.2f}",
            f"{each.tokens / each.forwards:.2f}",
            f"{each.drafted / each.forwards:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
