"""Tables for a terminal: a comparison, and a text with its accepted drafts marked."""

from collections.abc import Callable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from uag._core import Tokenizer
from uag.benchmark.comparison import Comparison, Method
from uag.decoding.output import Output
from uag.stats import Stats
from uag.translation.detokenizer import TextDecoder

DRAFTED, OWN = "underline green", ""
COLUMNS = ("tokens/s", "range", "x plain", "tokens per\ntarget forward", "identical\nprompts")


def comparison_table(comparison: Comparison, clean: Callable[[str], str]) -> Group:
    """All methods of a comparison, and the seconds of their phases, where these are reported."""
    table = Table("")
    for title in COLUMNS:
        table.add_column(title, justify="right")
    notes: list[Text] = []
    for method in comparison.methods:
        if method.error is not None:
            kind, message = method.error
            table.add_row(method.name, Text(clean(kind)), *["-"] * (len(COLUMNS) - 1))
            notes.append(Text(f"{method.name}: {kind}: {clean(message)}"))
            continue
        table.add_row(
            method.name,
            f"{method.speed:.1f}",
            f"{min(method.speeds):.1f}-{max(method.speeds):.1f}",
            f"{comparison.speedup(method):.2f}",
            f"{method.tokens_per_forward:.2f}",
            _identical(comparison, method),
        )
        if phases := method.phases:
            seconds = ", ".join(f"{phase} {spent:.2f}" for phase, spent in phases.items())
            notes.append(Text(f"seconds of {method.name}: {seconds}"))
    verdict = Text(f"identical output: {'yes' if comparison.identical else 'NO'}")
    hints = [Text(f"hint: {clean(hint)}") for hint in comparison.hints]
    return Group(table, Text(f"decoding: {comparison.decoding}"), *notes, verdict, *hints)


def _identical(comparison: Comparison, method: Method) -> str:
    same = comparison.identical_prompts(method)
    return "-" if same is None else f"{same} of {len(comparison.prompts)}"


def story(prompt: str, out: Output, tokenizer: Tokenizer, clean: Callable[[str], str]) -> Group:
    """The text with accepted drafts marked, and a legend."""
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
        (_sources(out.stats), DRAFTED), f" ({out.stats.accepted} tokens), the target's own ",
        f"({out.stats.tokens - out.stats.accepted})",
    )  # fmt: skip
    return Group(text, Text(), legend)


def _sources(stats: Stats) -> str:
    """Where the accepted drafts came from."""
    assistant = stats.drafted_accepted > stats.looked_up_accepted or not stats.looked_up_accepted
    names = ["drafted by the assistant"] if assistant else []
    return " or ".join(names + (["looked up"] if stats.looked_up_accepted else []))
