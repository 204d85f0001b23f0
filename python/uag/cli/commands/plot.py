"""`uag plot`: plots the results of `uag compare --json`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from uag.cli.help import INPUT, OUTPUT
from uag.cli.terminal import tell

EXAMPLES = """Examples:

    uag compare --json > demo.json
    uag plot demo.json --out demo.png

    for k in 2 4 8; do uag compare -k $k --json; done > k.jsonl
    uag plot k.jsonl --out k.svg
"""


class By(StrEnum):
    """What to plot over."""

    PAIR = "pair"
    LOOKAHEAD = "lookahead"
    TEMPERATURE = "temperature"


def plot(
    results: Annotated[
        list[Path],
        typer.Argument(help="Files that uag compare --json has printed.", rich_help_panel=INPUT),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write, such as plot.png, plot.svg or plot.pdf.",
            metavar="FILE",
            rich_help_panel=OUTPUT,
        ),
    ],
    by: Annotated[
        By | None,
        typer.Option(
            help=f"What to plot over: {', '.join(By)}. By default what the results differ in.",
            metavar="WHAT",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Plot speed-ups by pair, lookahead or temperature; needs matplotlib."""
    from uag.benchmark.results import read_results
    from uag.report.plots import left_out, plot_results, save_plot, what_differs

    found = read_results(results)
    over = by or what_differs(found)
    save_plot(plot_results(found, over), out)
    for each in left_out(found, over):
        tell(f"not in the plot: {each}")
    tell(f"the plot is in {out}")
