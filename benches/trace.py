"""What does tracing cost: the same texts with and without it in turn, and a round of it alone?

    python -m benches.trace [--target T --assistant A] [--runs 40]

Processor time, not the clock: other programs may run at the same time.
"""

from dataclasses import replace
from statistics import median, quantiles
from time import process_time
from typing import Annotated

import typer

from benches.common import (
    Assistant,
    FixedLookahead,
    JsonFile,
    MaxNewTokens,
    Target,
    Threads,
    Trust,
    begin,
    console,
    load_pair,
    write_json,
)
from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS
from uag.decoding.candidates import ANY


def main(
    target: Target = None,
    assistant: Assistant = None,
    runs: Annotated[int, typer.Option(min=2, help="Texts, each with and without.")] = 40,
    max_new_tokens: MaxNewTokens = 60,
    lookahead: FixedLookahead = 5,
    threads: Threads = 1,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time texts with and without `trace=True`, then the translation of their rounds."""
    begin(threads)
    # A fixed number of drafted ids: the work is the same whatever the clock says.
    decoder = load_pair(target, assistant, lookahead=lookahead, trust_remote_code=trust_remote_code)

    def seconds(prompt: str, *, trace: bool) -> float:
        start = process_time()
        decoder.generate(prompt, max_new_tokens=max_new_tokens, trace=trace)
        return process_time() - start

    seconds(PROMPTS[0], trace=True)
    ratios: list[float] = []
    for run in range(runs):
        # Whichever is second finds a warmer machine: they take turns.
        order = (False, True) if run % 2 else (True, False)
        took = {trace: seconds(PROMPTS[run % len(PROMPTS)], trace=trace) for trace in order}
        ratios.append(took[True] / took[False])
    low, middle, high = quantiles(ratios)
    console.print(
        f"traced against not, {runs} pairs: {middle:.4f}, quartiles {low:.4f} to {high:.4f}"
    )
    plain, traced = round_times(decoder)
    console.print(f"translation of a round: {plain:.1f} us, traced {traced:.1f} us")
    write_json(json_file, {"ratios": ratios, "plain_us": plain, "traced_us": traced})


def round_times(decoder: SpeculativeDecoder) -> tuple[float, float]:
    """Microseconds of the translation of a round, replayed without and with a trace."""
    out = decoder.generate(PROMPTS[0], max_new_tokens=120, trace=True)
    trace = out.trace
    assert trace is not None

    def play(*, follow: bool) -> float:
        sequence = decoder.bridge.start(trace.target.prompt, trace.assistant.prompt)
        if follow:
            sequence, _ = replace(trace, steps=[]).follow(sequence, ANY)
        start = process_time()
        for step in trace.steps:
            sequence.propose(step.draft)
            sequence.commit(step.tokens)
        return 1e6 * (process_time() - start) / len(trace.steps)

    plain, traced = (median(play(follow=follow) for _ in range(500)) for follow in (False, True))
    return plain, traced


if __name__ == "__main__":
    typer.run(main)
