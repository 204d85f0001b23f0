"""What do trees of drafts gain by the clock, beside chains?

    python -m benches.trees --stories FILE [--pair T,A ...] [--temperatures 0,0.7,1] [--runs 5]

A pair is "TARGET,ASSISTANT" or "demo"; with "~wrong" after it the assistant says with confidence
what it finds unlikely. Chains and trees take turns, text by text, with lookahead "auto" and without
lookups. A run is all texts; `tree / chain` is the median of the runs' ratios, and the smallest and
the largest. Both decoders go on from one run to the next, as a user's does: the first is not
counted.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from benches.common import (
    Dtype,
    JsonFile,
    Limit,
    MaxNewTokens,
    Pairs,
    Results,
    Runs,
    Stories,
    Threads,
    Trust,
    begin,
    load_changed,
    numbers,
    pair_label,
    story_openings,
    timed,
)
from benches.limits import mislead
from uag import SpeculativeDecoder
from uag.limits import LARGEST_TREE

WORDS = 10  # of an opening; after few words many small models write the same, without surprise


@dataclass
class Sums:
    """What one way to draft came to."""

    seconds: list[float] = field(default_factory=list[float])  # of each run
    tokens: int = 0
    forwards: int = 0

    @property
    def tokens_per_forward(self) -> float:
        """Tokens of a pass of the target."""
        return self.tokens / self.forwards

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / sum(self.seconds)


def in_turns(
    first: SpeculativeDecoder, tree: int, texts: list[str], runs: int, options: dict[str, Any]
) -> tuple[Sums, Sums, int]:
    """What chains and trees of a decoder's models come to; and how many texts differ, of all runs.

    The seed of a text is its number, if its tokens are drawn.
    """
    parts = first.model, first.tokenizer, first.assistant, first.assistant_tokenizer
    decoders = [SpeculativeDecoder(*parts, lookup=False, tree=most) for most in (0, tree)]
    sums, other = (Sums(), Sums()), 0
    for run in track(range(runs + 1), console=Console(stderr=True)):
        spent = [0.0, 0.0]
        for seed, text in enumerate(texts):
            found: list[str] = []
            for way, decoder in enumerate(decoders):
                out, seconds = timed(decoder.generate, text, seed=seed, **options)
                spent[way] += seconds
                found.append(out.text)
                if run:
                    sums[way].tokens += len(out.token_ids)
                    sums[way].forwards += out.stats.target_forwards
            other += found[0] != found[1]
        for each, seconds in zip(sums, spent, strict=True):
            each.seconds += [seconds] if run else []
    return *sums, other


def main(
    stories: Stories,
    pairs: Pairs = None,
    temperatures: Annotated[str, typer.Option(help="0 decodes greedily.")] = "0,1",
    tree: Annotated[
        int, typer.Option(min=2, max=LARGEST_TREE, help="Most candidates of a tree.")
    ] = LARGEST_TREE,
    limit: Limit = 6,
    runs: Runs = 5,
    max_new_tokens: MaxNewTokens = 80,
    dtype: Dtype = "auto",
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time trees and chains on the same texts."""
    begin(threads)
    results = Results("pair", "temperature", "chain tokens/s", "tree / chain", "from", "to",
                      "chain tokens per forward", "tree", "other texts")  # fmt: skip
    texts = story_openings(stories, limit, WORDS)
    for pair in pairs or ["demo"]:
        first = load_changed(pair, mislead, dtype=dtype, trust_remote_code=trust_remote_code)
        for heat in numbers(temperatures):
            drawn = {"do_sample": True, "temperature": heat, "top_k": 0}
            how = drawn if heat else {"do_sample": False}
            options = {**how, "max_new_tokens": max_new_tokens}
            chain, trees, other = in_turns(first, tree, texts, runs, options)
            ratios = [a / b for a, b in zip(chain.seconds, trees.seconds, strict=True)]
            results.add(
                pair_label(pair),
                f"{heat:g}",
                f"{chain.speed:.1f}",
                f"{median(ratios):.3f}",
                f"{min(ratios):.3f}",
                f"{max(ratios):.3f}",
                f"{chain.tokens_per_forward:.2f}",
                f"{trees.tokens_per_forward:.2f}",
                f"{other} of {(runs + 1) * len(texts)}",
            )
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
