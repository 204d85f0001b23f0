"""How many tokens does a target pass give with a `Proposer`, in an engine that runs the target?

    python -m benches.proposer --stories FILE [--target T --assistant A] [--limit 18]

The engine is a loop that verifies the candidates of a few texts, each in a pass of its own. Prompts
are the openings of stories; ids are compared with plain decoding.
"""

from typing import Any, cast

import torch
import typer

from benches.common import (
    Assistant,
    JsonFile,
    Limit,
    Lookahead,
    MaxNewTokens,
    Results,
    Stories,
    Target,
    Threads,
    Trust,
    begin,
    console,
    load_pair,
    story_openings,
    transformers_ids,
)
from uag import Proposer

# Most candidates of a text, as engines have it by default.
MOST = 5
# How many texts are decoded at the same time.
TEXTS = 6


def main(
    stories: Stories,
    target: Target = None,
    assistant: Assistant = None,
    limit: Limit = 18,
    lookahead: Lookahead = "auto",
    max_new_tokens: MaxNewTokens = 96,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Count the passes of the target, text by text."""
    from uag.lookahead.schedules import parse_lookahead
    from uag.translation.tokenizers import prompt_ids

    begin(threads)
    decoder = load_pair(target, assistant, dtype="float32", trust_remote_code=trust_remote_code)
    proposer = Proposer(
        decoder.tokenizer,
        decoder.assistant,
        decoder.assistant_tokenizer,
        lookahead=parse_lookahead(lookahead),
    )
    prompts = [prompt_ids(decoder.tokenizer, text) for text in story_openings(stories, limit)]
    rows = [[*prompt] for prompt in prompts]
    passes = 0
    for first in range(0, len(rows), TEXTS):
        ends = [len(prompt) + max_new_tokens for prompt in prompts[first : first + TEXTS]]
        passes += _decode(decoder.model, proposer, rows[first : first + TEXTS], ends)
    options = {"do_sample": False, "max_new_tokens": max_new_tokens, "eos_token_id": 10**6}
    identical = sum(
        row[len(prompt) :] == transformers_ids(decoder.model, prompt, **options)
        for row, prompt in zip(rows, prompts, strict=True)
    )
    tokens = len(rows) * max_new_tokens
    results = Results("", "tokens", "target forwards", "tokens per forward", "proposed", "accepted")
    counts = [f"{count:,}" for count in (proposer.proposed, proposer.accepted)]
    results.add(lookahead, f"{tokens:,}", f"{passes:,}", f"{tokens / passes:.2f}", *counts)
    results.show(json_file)
    console.print(f"{identical} of {len(rows)} identical to plain decoding")


@torch.no_grad()
def _decode(model: Any, proposer: Proposer, rows: list[list[int]], ends: list[int]) -> int:
    """Decode texts greedily up to their ends; the number of the target's passes."""
    passes = 0
    while under_way := [pair for pair in zip(rows, ends, strict=True) if len(pair[0]) < pair[1]]:
        limits = [min(MOST, end - len(row) - 1) for row, end in under_way]
        candidates = proposer.propose([row for row, _ in under_way], limits)
        for (row, _), proposed in zip(under_way, candidates, strict=True):
            logits = model(torch.tensor([row + proposed])).logits[0, len(row) - 1 :]
            chosen = cast("list[int]", logits.argmax(-1).tolist())
            pairs = zip(proposed, chosen, strict=False)
            wrong = (at for at, (one, other) in enumerate(pairs) if one != other)
            row.extend(chosen[: next(wrong, len(proposed)) + 1])
            passes += 1
    return passes


if __name__ == "__main__":
    typer.run(main)
