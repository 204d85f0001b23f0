"""Which lookahead is fastest: each in turn, against decoding plainly?

    python -m benches.lookahead --stories FILE [--target T --assistant A]
        [--lookaheads auto,3,6,11,20,heuristic,sure0.4]

A lookahead is "auto", a number, "heuristic" (transformers' schedule for two tokenizers), or "sure"
with a probability: at most 20 ids, until the assistant is less sure of one than that (transformers'
`assistant_confidence_threshold`, whose default is 0.4).
"""

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    Limit,
    MaxNewTokens,
    Results,
    Runs,
    Stories,
    Target,
    Threads,
    Trust,
    begin,
    load_pair,
    split,
    story_openings,
    timed,
)
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
    """What one lookahead came to."""

    tokens: int = 0
    seconds: float = 0.0
    forwards: int = 0
    drafted: int = 0

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def parsed(name: str) -> "int | str | Sure":
    """The `lookahead=` that a name stands for."""
    if name.startswith("sure"):
        return Sure(float(name.removeprefix("sure")))
    return parse_lookahead(name)


def main(
    stories: Stories,
    target: Target = None,
    assistant: Assistant = None,
    lookaheads: Annotated[
        str, typer.Option(help="Numbers, 'auto', 'heuristic', or 'sure' with a probability.")
    ] = "auto,1,3,6,11,20,heuristic,sure0.4",
    limit: Limit = 4,
    runs: Runs = 2,
    max_new_tokens: MaxNewTokens = 150,
    dtype: Dtype = "auto",
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time each lookahead on the same prompts."""
    begin(threads)
    first = load_pair(target, assistant, dtype=dtype, trust_remote_code=trust_remote_code)
    parts = first.model, first.tokenizer, first.assistant, first.assistant_tokenizer
    decoders = {"plain": SpeculativeDecoder(first.model, first.tokenizer)} | {
        name: SpeculativeDecoder(*parts, lookahead=parsed(name), lookup=False)
        for name in split(lookaheads)
    }
    texts = story_openings(stories, limit)
    sums = {name: Sums() for name in decoders}
    # The first text warms up.
    for number, text in enumerate(track(texts[:1] + texts * runs, console=Console(stderr=True))):
        for name, decoder in decoders.items():
            out, seconds = timed(
                decoder.generate, text, do_sample=False, max_new_tokens=max_new_tokens
            )
            if number:
                each = sums[name]
                each.tokens += len(out.token_ids)
                each.seconds += seconds
                each.forwards += out.stats.target_forwards
                each.drafted += out.stats.drafted
    results = Results("lookahead", "tokens/s", "x plain", "tokens per forward", "drafted a round")
    for name, each in sums.items():
        results.add(
            name,
            f"{each.speed:.1f}",
            f"{each.speed / sums['plain'].speed:.2f}",
            f"{each.tokens / each.forwards:.2f}",
            f"{each.drafted / each.forwards:.1f}",
        )
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
