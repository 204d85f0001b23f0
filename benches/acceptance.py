"""Tokens per target forward at a fixed lookahead: uag beside transformers' own assisted generation.

    python benches/acceptance.py TARGET ASSISTANT STORIES [--prompts 18] [--lookahead 5]

Prompts are "Once upon a time", the same with ", there was", and the first five words of other
stories in STORIES (one a line) that begin so. Ids are compared with plain decoding.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console
from rich.table import Table

from uag import SpeculativeDecoder
from uag.translation.tokenizers import prompt_ids

OPENING = "Once upon a time"


def story_openings(file: Path, count: int) -> list[str]:
    """The first five words of stories, without repetition."""
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    stories = [line for line in lines if len(line) > 200 and line.startswith(OPENING)]
    others = sorted({" ".join(story.split()[:5]) for story in stories})
    return [OPENING, f"{OPENING}, there was", *others][:count]


def main(
    target: str,
    assistant: str,
    stories: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    prompts: Annotated[int, typer.Option(min=1)] = 18,
    lookahead: Annotated[int, typer.Option(min=1)] = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 150,
    trust_remote_code: bool = False,
) -> None:
    """Count target forwards of both ways over the same prompts."""
    decoder = SpeculativeDecoder.from_pretrained(
        target,
        assistant,
        lookahead=lookahead,
        dtype="float32",
        trust_remote_code=trust_remote_code,
    )
    generate = cast("Callable[..., Any]", decoder.model.generate)
    settings = decoder.assistant.generation_config if decoder.assistant else None
    if settings is None:
        raise typer.BadParameter("an assistant is needed", param_hint="ASSISTANT")
    # transformers reads these off the assistant.
    settings.num_assistant_tokens = lookahead
    settings.num_assistant_tokens_schedule = "constant"
    settings.assistant_confidence_threshold = 0.0
    peers = {
        "assistant_model": decoder.assistant,
        "tokenizer": decoder.tokenizer,
        "assistant_tokenizer": decoder.assistant_tokenizer,
    }
    forwards = 0

    def count(*_: object) -> None:
        nonlocal forwards
        forwards += 1

    tokens, passes, identical = {"uag": 0, "transformers": 0}, {"uag": 0, "transformers": 0}, 0
    texts = story_openings(stories, prompts)
    with decoder.model.register_forward_hook(count):
        for text in texts:
            ids = torch.tensor([prompt_ids(decoder.tokenizer, text)])
            options = {
                "attention_mask": torch.ones_like(ids),
                "do_sample": False,
                "max_new_tokens": max_new_tokens,
            }
            plain = generate(ids, **options)[0, ids.shape[1] :].tolist()
            forwards = 0
            out = decoder.generate(text, max_new_tokens=max_new_tokens)
            tokens["uag"] += len(out.token_ids)
            passes["uag"] += forwards
            identical += out.token_ids == plain
            forwards = 0
            tokens["transformers"] += generate(ids, **options, **peers).shape[1] - ids.shape[1]
            passes["transformers"] += forwards
    table = Table("", "tokens", "target forwards", "tokens per forward")
    for way, count_ in tokens.items():
        table.add_row(way, f"{count_:,}", f"{passes[way]:,}", f"{count_ / passes[way]:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{identical} of {len(texts)} identical to plain decoding, {lookahead} drafted")


if __name__ == "__main__":
    typer.run(main)
