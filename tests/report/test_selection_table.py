"""A table of several assistants for a terminal."""

import pytest
from rich.console import Console

from uag.benchmark.comparison import Comparison, Method, Run
from uag.benchmark.selection import Selection
from uag.cli.terminal import printable
from uag.report.selection_table import selection_table


def test_names_of_assistants_do_not_reach_the_terminal_as_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = [[Run([1, 2], 1.0, 1)]]
    comparison = Comparison(["Once"], [Method("plain", runs), Method("uag", runs)])
    names = ["./[bold]\x1b[2J", "other"]
    console = Console(highlight=False, width=200)
    console.print(selection_table(Selection(names, [comparison] * 2), printable))
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.count("[bold]") == 3
