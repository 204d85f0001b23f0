"""Tables for a terminal: one pair, or a ranking of assistants."""

from collections.abc import Callable, Iterable
from pathlib import PurePath

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from uag.inspection.model_facts import ModelFacts
from uag.inspection.pair import Expectation, Pair

Clean = Callable[[str], str]
# How wide the titles of rows may be.
TITLES = 12
SPELLING = (
    "bytes per\ntarget\ntoken",
    "bytes per\nassistant\ntoken",
    "assistant\ntokens per\ntarget\ntoken",
    "shared\nends",
)
SHARED = Text("shared ends: target tokens that end where an assistant token ends", style="dim")
# The columns of a ranking, and what each means.
RANKING = {
    "speed-up": "if 70% of drafted tokens of 4 bytes were right; how many really are, only a run "
    "can show (uag compare)",
    "step cost": "of a drafted id, in passes of the target: by bytes read and by layers",
    "pays from": "the acceptance rate above which drafting pays",
    "tokens": "assistant tokens for each target token",
    "ends": "target tokens that end where an assistant token ends",
}
# How many special tokens are named, at most; some vocabularies reserve hundreds.
MOST_SPECIALS = 8
THOUSAND = 1000


def pair_table(pair: Pair, clean: Clean) -> Group:
    """All facts and advice about one pair; `clean` makes names from files printable."""
    # Outside of the table, where a long name would be broken anywhere.
    names = [
        Text(f"{role:<11}{clean(side.name)}")
        for role, side in (("target", pair.target), ("assistant", pair.assistant))
    ]
    parts: list[RenderableType] = [*names, Text(), _sides(pair, clean), Text()]
    parts.append(_spelling(pair, clean))
    if pair.costs:
        parts += [Text(), _expected(pair, pair.costs)]
    parts += [Text(), *_remarks(pair, clean)]
    return Group(*parts)


def ranking_table(pairs: list[Pair], clean: Clean) -> Group:
    """Several assistants for one target, the most promising first."""
    table = Table("assistant", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title in RANKING:
        table.add_column(title, justify="right", no_wrap=True)
    for place, pair in enumerate(pairs, start=1):
        table.add_row(
            # The whole name is in the notes below the table.
            Text(f"{place} {clean(PurePath(pair.assistant.name).name)}", overflow="fold"),
            "-" if pair.obstacles or not pair.costs else f"{pair.score:.2f}",
            "-" if not pair.costs else _range(pair.costs, "{:.2f}"),
            "-" if not pair.break_even else _range(pair.break_even, "{:.0%}"),
            f"{pair.assistant_per_target:.2f}",
            f"{pair.shared_ends:.0%}",
        )
    notes = [
        Text.assemble((f"{place} {clean(pair.assistant.name)}: ", "bold"), clean(pair.verdict))
        for place, pair in enumerate(pairs, start=1)
    ]
    title = Text(f"assistants for {clean(pairs[0].target.name)}:")
    return Group(title, table, _legend(), Text(), *notes)


def _legend() -> Table:
    legend = Table.grid(padding=(0, 2))
    for title, meaning in RANKING.items():
        legend.add_row(Text(title), Text(meaning, style="dim"))
    return legend


def _sides(pair: Pair, clean: Clean) -> Table:
    table = Table()
    table.add_column(max_width=TITLES)
    for role in ("target", "assistant"):
        table.add_column(role)
    for title, value in ROWS.items():
        cells = [
            Text(clean(value(side)), overflow="fold") for side in (pair.target, pair.assistant)
        ]
        if any(str(cell) != "-" for cell in cells):
            table.add_row(title, *cells)
    return table


def _spelling(pair: Pair, clean: Clean) -> Group:
    table = Table("on text", title_justify="left")
    for title in SPELLING:
        table.add_column(title, justify="right")
    for one in pair.samples:
        table.add_row(
            Text(clean(one.name) + ("" if all(one.spelled) else " *")),
            f"{one.bytes / max(1, one.target_tokens):.2f}",
            f"{one.bytes / max(1, one.assistant_tokens):.2f}",
            f"{one.assistant_per_target:.2f}",
            f"{one.shared_ends / max(1, one.target_tokens):.0%}",
        )
    if len(pair.samples) > 1:
        table.add_section()
        table.add_row(
            "mean",
            *(f"{size:.2f}" for size in pair.bytes_per_token),
            f"{pair.assistant_per_target:.2f}",
            f"{pair.shared_ends:.0%}",
        )
    strings = (
        f"{pair.shared_strings:,} strings are tokens of both: "
        f"{_share(pair.shared_strings, pair.target_strings)} of the target's "
        f"{pair.target_strings:,}, "
        f"{_share(pair.shared_strings, pair.assistant_strings)} of the assistant's "
        f"{pair.assistant_strings:,}, and {pair.known:.0%} of the target's tokens in these texts"
    )
    unspelled = any(not all(one.spelled) for one in pair.samples)
    notes = [Text("* not spelled byte for byte by one of the vocabularies")] if unspelled else []
    return Group(table, SHARED, *notes, Text(strings))


def _expected(pair: Pair, costs: tuple[float, float]) -> Group:
    table = Table("drafted ids\naccepted")
    for name, cost in zip(("at least", "at most"), costs, strict=True):
        table.add_column(f"speed-up if\na draft step costs\n{name} {cost:.3f}", justify="right")
    for cheap, dear in zip(*map(pair.expected, costs), strict=True):
        table.add_row(f"{cheap.acceptance:.0%}", _promise(cheap), _promise(dear))
    note = Text(
        "Times plain decoding, at most, and the best number of ids to draft (k). Costs are in "
        "passes of the target, by bytes read and by layers; the real cost lies between these.",
        style="dim",
    )
    return Group(table, note)


def _promise(expected: Expectation) -> str:
    return f"{expected.speedup:.2f} (k={expected.lookahead})" if expected.lookahead else "-"


def _remarks(pair: Pair, clean: Clean) -> Iterable[Text]:
    for caution in pair.cautions:
        yield Text.assemble(("! ", "yellow"), clean(caution))
    yield Text(clean(pair.verdict), style="bold red" if pair.obstacles else "bold green")


def _path(side: ModelFacts) -> str:
    return "fast, exact" if side.core.fast else f"through the tokenizer: {side.core.reason}"


def _parameters(side: ModelFacts) -> str:
    if side.size is None:
        return "-"
    all_of_them = f"{side.size.parameters:,}"
    if side.size.active < 0.9 * side.size.parameters:
        return f"{all_of_them}, {side.size.active:,} for each id"
    return all_of_them


def _memory(side: ModelFacts) -> str:
    if side.size is None:
        return "-"
    cache = side.size.cache_bytes
    weights = f"{_amount(side.size.bytes)} at {side.size.bits:g} bits"
    return weights if cache is None else f"{weights}, and {_amount(THOUSAND * cache)} for 1,000 ids"


def _trees(side: ModelFacts) -> str:
    if side.chains is None:
        return "-"
    return f"no: {side.chains}" if side.chains else "yes, unless trying it fails"


def _amount(bytes: float) -> str:
    for unit in ("kB", "MB", "GB"):
        bytes /= THOUSAND
        if bytes < THOUSAND:
            return f"{bytes:.3g} {unit}"
    return f"{bytes / THOUSAND:.3g} TB"


def _role(role: str) -> Callable[[ModelFacts], str]:
    def contents(side: ModelFacts) -> str:
        found = [special.content for special in side.specials if role in special.roles]
        return ", ".join(found) or "-"

    return contents


def _others(side: ModelFacts) -> str:
    others = [one.content for one in side.specials if not {"bos", "eos"} & set(one.roles)]
    shown = ", ".join(others[:MOST_SPECIALS])
    more = len(others) - MOST_SPECIALS
    return (f"{shown} and {more:,} more" if more > 0 else shown) or "-"


ROWS: dict[str, Callable[[ModelFacts], str]] = {
    "tokenizer": lambda side: side.core.family,
    "path": _path,
    "vocabulary": lambda side: f"{side.core.vocab_size:,}",
    "model": lambda side: side.architecture or "-",
    "parameters": _parameters,
    "memory": _memory,
    "layers": lambda side: "-" if side.size is None else str(side.size.layers),
    "window": lambda side: "-" if side.window is None else f"{side.window:,} ids",
    "reads trees": _trees,
    "a text begins with": lambda side: ", ".join(side.begins) or "-",
    "beginning of text": _role("bos"),
    "end of text": _role("eos"),
    "other special tokens": _others,
    "chat template": lambda side: "yes" if side.chat_template else "no",
}


def _share(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.0%}"


def _range(values: tuple[float, float], form: str) -> str:
    low, high = (form.format(value) for value in values)
    return low if low == high else f"{low}-{high}"
