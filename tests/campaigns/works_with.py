"""What people bring, and each way to call uag with it: the same ids as `generate`?

    python -m tests.campaigns.works_with
    python -m tests.campaigns.works_with --table > docs/works-with.md

Rows are in tests/support/works_with/rows.py, columns in columns.py. A row whose package is not
installed fails: the table must not lose it.
"""

import warnings
from typing import Annotated

import transformers
import typer

from tests.support.works_with.rows import GROUPS
from tests.support.works_with.table import Line, line, page


def main(
    show: Annotated[bool, typer.Option("--table", help="only print docs/works-with.md")] = False,
) -> None:
    """Try all rows, and print those that are wrong."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    missing = [row.name for rows in GROUPS.values() for row in rows if not row.can_be_tried]
    if missing:
        typer.echo(f"a package is missing for: {', '.join(missing)}", err=True)
        raise typer.Exit(1)
    groups: list[tuple[str, list[Line]]] = [
        (title, [line(row) for row in rows]) for title, rows in GROUPS.items()
    ]
    lines = [each for _, lines in groups for each in lines]
    if show:
        typer.echo(page(groups), nl=False)
    else:
        for each in lines:
            typer.echo("\n  ".join([str(each), *each.notes]))
    raise typer.Exit(any(each.failed for each in lines))


if __name__ == "__main__":
    typer.run(main)
