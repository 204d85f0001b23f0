"""The commands and options of `uag`, as the application itself has them."""

from typing import Any

import typer

from uag.cli import app

ROOT: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(ROOT.commands)


def options_of(command: Any) -> list[Any]:
    """All options and arguments of a command, also `--help`."""
    return list(command.get_params(typer.Context(command)))
