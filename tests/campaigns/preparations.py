"""Which classes of transformers prepare a pass of `generate` in a way of their own: is each known?

    python -m tests.campaigns.preparations
    python -m tests.campaigns.preparations --source ../transformers-5.24.0/transformers
    python -m tests.campaigns.preparations --table > docs/preparations.md

Reads the sources of a `transformers` folder, by default the installed one, and compares what it
finds with tests/support/preparations.toml, which says for each class what uag does. So it names
what a new release adds or changes: read that, then put its fingerprint in the table.
"""

from pathlib import Path
from typing import Annotated

import typer

from tests.support.preparations import compare, installed, overrides, page, table


def main(
    source: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="a folder of transformers")
    ] = None,
    show: Annotated[bool, typer.Option("--table", help="only print docs/preparations.md")] = False,
) -> None:
    """Name the overrides that the table does not have."""
    if show:
        typer.echo(page(table()), nl=False)
        return
    found = overrides(source or installed())
    unlike = compare(found, table())
    for what, named in (("new", unlike.new), ("changed", unlike.changed)):
        for each in named:
            sets = f" | sets {', '.join(each.sets)}" if each.sets else ""
            typer.echo(f"{what} | {each.name} | {each.fingerprint}{sets}")
    for name in unlike.gone:
        typer.echo(f"not in this release | {name}")
    typer.echo(
        f"{len(found)} overrides: {len(unlike.new)} new, {len(unlike.changed)} changed; "
        f"{len(unlike.gone)} of the table are not in this release"
    )
    raise typer.Exit(bool(unlike.new or unlike.changed))


if __name__ == "__main__":
    typer.run(main)
