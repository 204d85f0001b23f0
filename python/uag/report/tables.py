"""Tables for a terminal: a comparison, and a text with its accepted drafts marked."""

from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from uag._core import Tokenizer
from uag.benchmark.comparison import Comparison, Method
from uag.benchmark.difference import Difference
from uag.decoding.output import Output
from uag.stats import Stats
from uag.translation.detokenizer import TextDecoder

DRAFTED, OWN = "underline green", ""
WITHOUT_DECIMALS = 100
SPEED, RANGE, GAIN, FIRST = "tokens/s", "range", "x\nplain", "first\ntext"
EACH_PASS, SAME = "tokens/\npass", "identical\nprompts"
COLUMNS = (SPEED, RANGE, GAIN, FIRST, EACH_PASS, SAME)
NARROW = 72


def comparison_table(comparison: Comparison, clean: Callable[[str], str]) -> Group:
    """All methods of a comparison, and the seconds of their phases, where these are reported."""
    return Group(
        MethodsTable(rows_of(comparison)),
        Text(f"decoding: {comparison.decoding}"),
        notes_of(comparison, clean),
    )


def notes_of(comparison: Comparison, clean: Callable[[str], str]) -> Group:
    """What is said of a comparison below its table: errors, seconds, differences, hints."""
    notes = [
        Text(f"{method.name}: {method.error[0]}: {clean(method.error[1])}")
        if method.error
        else Text(f"seconds of {method.name}: {_seconds(method)}")
        for method in comparison.methods
        if method.error or method.phases
    ]
    return Group(
        *notes,
        *map(Text, _verdict(comparison, clean)),
        *(Text(f"hint: {clean(hint)}") for hint in comparison.hints),
    )


@dataclass(frozen=True, slots=True)
class MethodsTable:
    """A row for each method, with its numbers so far; a narrow terminal does without the range.

    `rows`: a title for each, and what stands in its columns.
    """

    rows: list[tuple[str, dict[str, str]]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich draws."""
        del console
        left_out = () if options.max_width >= NARROW else (RANGE,)
        columns = [title for title in COLUMNS if title not in left_out]
        table = Table("", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for title in columns:
            table.add_column(title, justify="right", no_wrap=True)
        for name, cells in self.rows:
            # A folder's name may be longer than its column.
            table.add_row(
                Text(name, overflow="fold"), *(cells.get(title, "-") for title in columns)
            )
        yield table


def rows_of(comparison: Comparison) -> list[tuple[str, dict[str, str]]]:
    """A row of `MethodsTable` for each method of a comparison."""
    return [(method.name, _cells(comparison, method)) for method in comparison.methods]


def _cells(comparison: Comparison, method: Method) -> dict[str, str]:
    if method.error is not None or not method.runs:
        return {SPEED: "failed" if method.error else "not run"}
    first = comparison.first_speedup(method)
    return {
        SPEED: _speed(method.speed),
        RANGE: f"{_speed(min(method.speeds))}-{_speed(max(method.speeds))}",
        GAIN: f"{comparison.speedup(method):.2f}",
        FIRST: "-" if first is None else f"{first:.2f}",
        EACH_PASS: f"{method.tokens_per_forward:.2f}",
        SAME: _identical(comparison, method),
    }


def _speed(speed: float) -> str:
    return f"{speed:.1f}" if speed < WITHOUT_DECIMALS else f"{speed:.0f}"


def _seconds(method: Method) -> str:
    return ", ".join(f"{phase} {spent:.2f}" for phase, spent in method.phases.items())


def _identical(comparison: Comparison, method: Method) -> str:
    same = comparison.identical_prompts(method)
    return "-" if same is None else f"{same} of {len(method.runs[0])}"


def _verdict(comparison: Comparison, clean: Callable[[str], str]) -> list[str]:
    """Whether outputs are identical, where they are not and why, and whether all was run."""
    compared = any(method.runs for method in comparison.methods[1:])
    same = ("yes" if comparison.identical else "NO") if compared else "not compared yet"
    lines = [f"identical output: {same}"]
    lines += [_difference(comparison, each, clean) for each in comparison.differences]
    for why in dict.fromkeys(each.why for each in comparison.differences):
        methods = [each.method for each in comparison.differences if each.why == why]
        lines.append(f"{', '.join(methods)}: {why}")
    if comparison.interrupted is not None:
        done, total = comparison.interrupted
        lines.append(f"interrupted after {done} of {total} runs: these are partial results")
    return lines


def _difference(comparison: Comparison, difference: Difference, clean: Callable[[str], str]) -> str:
    """Where an output differs: both tokens, and the target's scores."""
    expected, found = (
        "the end" if id is None else f"{id} {clean(repr(text))}"
        for id, text in (
            (difference.expected, difference.texts[0]),
            (difference.found, difference.texts[1]),
        )
    )
    reference = comparison.reference
    line = (
        f"{difference.method}: prompt {difference.prompt + 1}, token {difference.position + 1} is "
        f"{found}, of {reference.name if reference else ''} {expected}"
    )
    if (margin := difference.margin) is None:
        return line
    best, second = margin.best_two
    return (
        f"{line}; the target's two best logits there differ by {best - second:.3g}, "
        f"and {margin.dtype} has steps of {margin.rounding:.2g} at {best:.3g}"
    )


def story(prompt: str, out: Output, tokenizer: Tokenizer, clean: Callable[[str], str]) -> Group:
    """The text with accepted drafts marked, and a legend."""
    text = Text(prompt, style="dim")
    decode = TextDecoder(tokenizer)
    decode.add(tokenizer.encode(prompt.encode()))
    for done in out.stats.history:
        for ids, drafted in done.by_writer:
            text.append(clean(decode.add(ids)), style=DRAFTED if drafted else OWN)
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
