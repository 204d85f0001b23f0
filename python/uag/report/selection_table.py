"""A table for a terminal: several assistants for one target, and which of them to take."""

from collections.abc import Callable
from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.text import Text

from uag.benchmark.comparison import PLAIN
from uag.benchmark.selection import Selection
from uag.report.tables import COLUMNS, MethodsTable, notes_of, rows_of

NO_CELLS: dict[str, str] = dict.fromkeys(COLUMNS, "")


def selection_table(selection: Selection, clean: Callable[[str], str]) -> Group:
    """Plain decoding, the methods of each assistant, what is said of them, and the one to take."""
    rows = rows_of(selection.plain)
    notes: list[RenderableType] = []
    turns = zip(selection.names, selection.comparisons, strict=False)
    for place, (name, comparison) in enumerate(turns, start=1):
        # The whole name is in the notes below the table.
        rows.append((f"{place} {clean(PurePath(name).name)}", NO_CELLS))
        rows += [(f"  {title}", cells) for title, cells in rows_of(comparison) if title != PLAIN]
        notes += [Text(), Text(f"{place} {clean(name)}", style="bold")]
        notes.append(notes_of(comparison, clean))
    return Group(
        MethodsTable(rows),
        Text(f"decoding: {selection.comparisons[0].decoding}"),
        *notes,
        Text(),
        Text(clean(_advice(selection)), style="bold"),
    )


def _advice(selection: Selection) -> str:
    """The recommendation in one line, or why there is none."""
    found = selection.recommendation
    return "no recommendation, as not all was run" if found is None else str(found)
