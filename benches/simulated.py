"""What does "auto" make of real drafts and texts, where seconds are those of a table?

    python -m benches.simulated --stories FILE [--target T --assistant A] --costs float32

Both models run, so that drafts are accepted where they really are; a pass takes what `COSTS` says.
The numbers repeat exactly. A method begins each kind of text knowing nothing.
"""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import typer

from benches.common import (
    Assistant,
    JsonFile,
    Limit,
    Results,
    Stories,
    Target,
    Threads,
    Trust,
    begin,
    load_pair,
    story_prompts,
)
from uag import SpeculativeDecoder
from uag.clock import set_clock

# Numbers of ids, milliseconds of a target's pass over each number, and of one of the assistant.
# The first two are those of a target of 200 million parameters on two CPU cores; the last is like a
# GPU, where width is free and an assistant's steps are not.
COSTS: dict[str, tuple[list[int], list[float], float]] = {
    "float32": ([1, 4, 8, 21, 64], [48, 85, 86, 122, 230], 1.1),
    "bfloat16": ([1, 4, 8, 21, 64], [25.8, 29.6, 30.1, 45.7, 90], 1.1),
    "wide": ([1, 4, 8, 21, 64], [20, 20.2, 20.4, 21, 23], 3.0),
}


class Time:
    """Seconds that pass only where a model reads."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def spent_by(self, model: Any, cost: Callable[[int], float]) -> None:
        """A pass of `model` over this many ids takes `cost` milliseconds."""

        def spend(_: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
            ids = options.get("input_ids", args[0] if args else None)
            self.seconds += cost(ids.shape[1]) / 1000

        model.register_forward_pre_hook(spend, with_kwargs=True)


def main(
    stories: Stories,
    target: Target = None,
    assistant: Assistant = None,
    costs: Annotated[str, typer.Option(help=", ".join(COSTS))] = "float32",
    temperature: Annotated[float, typer.Option(help="0 decodes greedily")] = 0.0,
    limit: Limit = 6,
    threads: Threads = 1,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Tokens a second of every method, as multiples of decoding plainly."""
    begin(threads)
    widths, passes, step = COSTS[costs]
    first = load_pair(target, assistant, trust_remote_code=trust_remote_code, dtype="float32")
    model, words = first.model, first.tokenizer
    pair: list[Any] = [first.assistant, first.assistant_tokenizer]
    time = Time()
    time.spent_by(model, lambda ids: float(np.interp(ids, widths, passes)))
    time.spent_by(first.assistant, lambda ids: step * (1 + 0.02 * ids))
    set_clock(lambda: time.seconds)
    methods: dict[str, Callable[[], SpeculativeDecoder]] = {
        "plain": lambda: SpeculativeDecoder(model, words),
        "lookup, auto": lambda: SpeculativeDecoder(model, words, "lookup"),
        "assistant, 5": lambda: SpeculativeDecoder(model, words, *pair, lookahead=5),
        "assistant, auto": lambda: SpeculativeDecoder(model, words, *pair, lookup=False),
        "tree, auto": lambda: SpeculativeDecoder(model, words, *pair, lookup=False, tree=31),
        "both, auto": lambda: SpeculativeDecoder(model, words, *pair, lookup=True),
    }
    results = Results("text", *methods, title=f"x plain, {costs}")
    window: int = model.config.max_position_embeddings
    for kind, (prompts, length) in story_prompts(stories, limit).items():
        speeds: list[float] = []
        for new_decoder in methods.values():
            decoder, tokens, start = new_decoder(), 0, time.seconds
            for seed, prompt in enumerate(prompts):
                ids = words(prompt)["input_ids"][: window - length - 1]
                drawn = {"do_sample": True, "temperature": temperature, "seed": seed, "top_k": 0}
                how = drawn if temperature else {}
                tokens += len(decoder.generate(ids, max_new_tokens=length, **how).token_ids)
            speeds.append(tokens / (time.seconds - start))
        results.add(kind, *(f"{speed / speeds[0]:.2f}" for speed in speeds))
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
