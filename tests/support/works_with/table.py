"""The table in docs/works-with.md."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.support.architectures.verdicts import Finding, Verdict
from tests.support.works_with.columns import COLUMNS, EXACT, UNDRAFTED, WRONG, Cell, tried
from tests.support.works_with.rows import FoundRow, Row

# Who is refused is said of the target and of the assistant in the same words.
ROLE = re.compile(r"the (target|assistant)'s")

OPENING = """\
# Works with

What people bring, and the ways to call uag with it. A campaign tries each with tiny models and
writes this page; a test tries a part of it each time.

    python -m tests.campaigns.works_with --table > docs/works-with.md

- **exact**: the ids are those of the model's own `generate`, and drafts were accepted.
- **plainly**: the ids are the same, but nothing is drafted.
- **refused**: an error before anything runs, which is under the table.
- **–**: there is no such call.
"""


@dataclass(frozen=True)
class Line:
    """A row of the table with its cells, by column."""

    name: str
    cells: dict[str, Cell]

    @property
    def failed(self) -> bool:
        return any(cell.startswith((WRONG, "FAILED")) for cell in self.cells.values())

    def __str__(self) -> str:
        return f"| {self.name} | {' | '.join(map(_short, self.cells.values()))} |"

    @property
    def notes(self) -> list[str]:
        """Each message of the row, with the columns that give it if not all do."""
        given: dict[str, list[str]] = {}
        for column, cell in self.cells.items():
            kind, _, message = cell.partition(": ")
            if kind in ("refused", "FAILED"):
                message = ROLE.sub("the model's", message)
                given.setdefault(message, []).append(column)
        return [
            f"- **{self.name}**{_among(columns)}: {message}" for message, columns in given.items()
        ]


def line(row: Row | FoundRow) -> Line:
    """Try a row: every cell with a model of its own, as a call may leave something in it."""
    if isinstance(row, FoundRow):
        found = row.find()
        return Line(row.name, {column: _cell(found.get(column)) for column in COLUMNS})
    return Line(
        row.name,
        {
            column: f"does not apply: {row.lacks[column]}"
            if column in row.lacks
            else tried(column, row.given())
            for column in COLUMNS
        },
    )


def _cell(finding: Finding | None) -> Cell:
    if finding is None:
        return "does not apply: there is no such call"
    match finding.verdict:
        case Verdict.EXACT | Verdict.TIE:
            return EXACT
        case Verdict.SWITCHED_OFF:
            return UNDRAFTED
        case Verdict.REFUSED:
            return f"refused: {finding.message}"
        case Verdict.WRONG:
            return WRONG
        case _:
            return f"FAILED: {finding.message}"


def page(groups: Iterable[tuple[str, list[Line]]]) -> str:
    """The page, in Markdown."""
    parts = [OPENING]
    for title, lines in groups:
        notes = [note for each in lines for note in each.notes]
        parts.append(
            "\n".join(
                [
                    f"## {title}\n",
                    f"| | {' | '.join(COLUMNS)} |",
                    f"|---|{'---|' * len(COLUMNS)}",
                    *map(str, lines),
                ]
            )
            + "\n"
        )
        if notes:
            parts.append("Refused, by name:\n\n" + "\n".join(notes) + "\n")
    return "\n".join(parts)


def _among(columns: list[str]) -> str:
    return "" if len(columns) == len(COLUMNS) else f" ({', '.join(columns)})"


def _short(cell: Cell) -> str:
    kind = cell.partition(": ")[0]
    return "–" if kind == "does not apply" else kind
