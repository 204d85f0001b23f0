"""What tracing costs: the same texts with and without it, in turn; and a round of it by itself.

    python benches/trace.py

Processor time, not the clock: other programs may run beside it.
"""

from statistics import median, quantiles
from time import process_time
from typing import Annotated

import torch
import typer
from rich.console import Console

from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS
from uag.cli.terminal import be_quiet
from uag.decoding.trace import Trace
from uag.demo import demo_decoder

console = Console(highlight=False)


def main(
    pairs: Annotated[int, typer.Option(help="Texts, each with and without.")] = 40,
    max_new_tokens: Annotated[int, typer.Option("-n", help="Of each.")] = 60,
) -> None:
    be_quiet()
    torch.set_num_threads(1)
    # A fixed number of drafted ids: the work is the same whatever the clock says.
    decoder = demo_decoder(lookahead=5)

    def seconds(prompt: str, *, trace: bool) -> float:
        start = process_time()
        decoder.generate(prompt, max_new_tokens=max_new_tokens, trace=trace)
        return process_time() - start

    seconds(PROMPTS[0], trace=True)
    ratios: list[float] = []
    for pair in range(pairs):
        # Whichever is second finds a warmer machine: they take turns.
        order = (False, True) if pair % 2 else (True, False)
        took = {trace: seconds(PROMPTS[pair % len(PROMPTS)], trace=trace) for trace in order}
        ratios.append(took[True] / took[False])
    low, middle, high = quantiles(ratios)
    console.print(
        f"traced against not, {pairs} pairs: {middle:.4f}, quartiles {low:.4f} to {high:.4f}"
    )
    show_round(decoder)


def show_round(decoder: SpeculativeDecoder) -> None:
    """The translation of a text's rounds, played again with and without a trace."""
    out = decoder.generate(PROMPTS[0], max_new_tokens=120, trace=True)
    trace = out.trace
    assert trace is not None

    def play(*, follow: bool) -> float:
        sequence = decoder.bridge.start(trace.target.prompt, trace.assistant.prompt)
        if follow:
            sequence = Trace(trace.target, trace.assistant, trace.lookahead).follow(sequence)
        start = process_time()
        for step in trace.steps:
            sequence.propose(step.draft)
            sequence.commit(step.tokens)
        return 1e6 * (process_time() - start) / len(trace.steps)

    plain, traced = (median(play(follow=follow) for _ in range(500)) for follow in (False, True))
    console.print(f"translation of a round: {plain:.1f} us, traced {traced:.1f} us")


if __name__ == "__main__":
    typer.run(main)
