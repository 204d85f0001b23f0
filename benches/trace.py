"""What tracing costs: the same texts with and without it, in turn; and a round of it by itself.

python benches/trace.py
"""

import argparse
from statistics import median
from time import perf_counter

import torch
from uag.cli import demo_decoder
from uag.measure import PROMPTS
from uag.trace import Trace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--max-new-tokens", type=int, default=120)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    # A fixed number of drafted ids: the work is the same whatever the clock says.
    decoder = demo_decoder(5)

    def seconds(prompt: str, *, trace: bool) -> float:
        start = perf_counter()
        decoder.generate(prompt, max_new_tokens=asked.max_new_tokens, trace=trace)
        return perf_counter() - start

    ratios: list[float] = []
    for run in range(asked.runs):
        prompt = PROMPTS[run % len(PROMPTS)]
        # Whichever is second finds a warmer machine: they take turns.
        order = (False, True) if run % 2 else (True, False)
        took = {trace: seconds(prompt, trace=trace) for trace in order}
        ratios.append(took[True] / took[False])
    ratios.sort()
    print(f"with trace, times without, {asked.runs} pairs: median {median(ratios):.4f}, quartiles "
          f"{ratios[asked.runs // 4]:.4f} to {ratios[3 * asked.runs // 4]:.4f}")  # fmt: skip
    round_seconds(decoder)


def round_seconds(decoder: object) -> None:
    """The translation of a text's rounds, played again with and without a trace."""
    out = decoder.generate(PROMPTS[0], max_new_tokens=120, trace=True)
    trace, bridge = out.trace, decoder.bridge

    def play(follow: bool) -> float:
        sequence = bridge.start(trace.target.prompt, trace.assistant.prompt)
        if follow:
            sequence = Trace(trace.target, trace.assistant, trace.lookahead).follow(sequence)
        start = perf_counter()
        for step in trace.steps:
            sequence.propose(step.draft)
            sequence.commit(step.tokens)
        return (perf_counter() - start) / len(trace.steps)

    took = {follow: median(play(follow) for _ in range(200)) for follow in (False, True)}
    whole = sum(out.stats.seconds.values()) / out.stats.rounds
    print(f"a round of translation: {1e6 * took[False]:.1f} us, traced {1e6 * took[True]:.1f} us; "
          f"a whole round {1e6 * whole:.0f} us")  # fmt: skip


if __name__ == "__main__":
    main()
