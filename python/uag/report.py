"""Results as people read them: a story with accepted drafts marked, plain against assisted."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, cast

import torch
from rich.console import Group
from rich.table import Table
from rich.text import Text

from uag._core import Tokenizer
from uag.decoder import SpeculativeDecoder
from uag.hf import prompt_ids
from uag.output import Output
from uag.text import TextDecoder

DRAFTED, OWN = "underline green", ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same prompt decoded by `model.generate` and assisted.

    Attributes:
        plain_speed, assisted_speed: tokens per second, medians.
        tokens_per_forward: of the assisted run.
        identical: whether every run of both kinds gave the same ids.
    """

    plain_speed: float
    assisted_speed: float
    tokens_per_forward: float
    identical: bool


def compare(
    decoder: SpeculativeDecoder, prompt: str, *, runs: int, max_new_tokens: int
) -> Comparison:
    """Time both ways of decoding in turn, `runs` times each, after one untimed run."""
    ids = torch.tensor([prompt_ids(decoder.tokenizer, prompt)], device=decoder.model.device)
    generate = cast("Callable[..., Any]", decoder.model.generate)

    def plain() -> list[int]:
        out = generate(
            ids, do_sample=False, max_new_tokens=max_new_tokens, attention_mask=torch.ones_like(ids)
        )
        return out[0, ids.shape[1] :].tolist()

    def assisted() -> Output:
        return decoder.generate(prompt, max_new_tokens=max_new_tokens)

    expected, warm = plain(), assisted()
    identical = warm.token_ids == expected
    plain_speeds: list[float] = []
    assisted_speeds: list[float] = []
    for _ in range(runs):
        start = perf_counter()
        plain_ids = plain()
        middle = perf_counter()
        out = assisted()
        end = perf_counter()
        plain_speeds.append(len(plain_ids) / (middle - start))
        assisted_speeds.append(len(out.token_ids) / (end - middle))
        identical &= out.token_ids == plain_ids == expected
    return Comparison(
        median(plain_speeds), median(assisted_speeds), warm.stats.tokens_per_forward, identical
    )


def comparison_table(comparison: Comparison) -> Group:
    """Plain against assisted, and whether the outputs are the same."""
    table = Table("", "tokens/s", "tokens per target forward", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("plain (model.generate)", f"{comparison.plain_speed:.1f}", "1.00")
    table.add_row(
        "assisted (uag)", f"{comparison.assisted_speed:.1f}", f"{comparison.tokens_per_forward:.2f}"
    )
    return Group(table, Text(f"identical output: {'yes' if comparison.identical else 'NO'}"))


def story(prompt: str, out: Output, tokenizer: Tokenizer, clean: Callable[[str], str]) -> Group:
    """The text with its accepted drafts marked, and what the marks mean."""
    text = Text(prompt, style="dim")
    decode = TextDecoder(tokenizer)
    decode.add(tokenizer.encode(prompt.encode()))
    for done in out.stats.history:
        for part, style in (
            (done.tokens[: done.accepted], DRAFTED),
            (done.tokens[done.accepted :], OWN),
        ):
            text.append(clean(decode.add(part)), style=style)
    text.append(clean(decode.end()))
    legend = Text.assemble(
        ("drafted by the assistant", DRAFTED), f" ({out.stats.accepted} tokens), the target's own ",
        f"({out.stats.tokens - out.stats.accepted})",
    )  # fmt: skip
    return Group(text, Text(), legend)
