"""`uag plot`: plots the results of `uag compare --json`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from uag.cli.terminal import one_line, printable

EXAMPLES = """Examples:

    uag compare --json > demo.json && uag plot demo.json --out demo.png

    for k in 2 4 8; do uag compare -k $k --json; done > by_k.jsonl; uag plot by_k.jsonl --out k.svg
"""


class By(StrEnum):
    """What to plot over."""

    PAIR = "pair"
    LOOKAHEAD = "lookahead"
    TEMPERATURE = "temperature"


def plot(
    results: Annotated[list[Path], typer.Argument(help="Files with output of uag compare --json.")],
    out: Annotated[
        Path, typer.Option(help="File to write, such as plot.png, plot.svg or plot.pdf.")
    ],
    by: Annotated[
        By | None, typer.Option(help="What to plot over; by default what the results differ in.")
    ] = None,
) -> None:
    """Plot speed-ups by pair, lookahead or temperature; needs matplotlib."""
    from uag.benchmark.results import read_results
    from uag.report.plots import left_out, plot_results, save_plot, what_differs

    found = read_results(results)
    over = by or what_differs(found)
    save_plot(plot_results(found, over), out)
    for each in left_out(found, over):
        print(f"uag: not in the plot: {one_line(each)}", file=sys.stderr)
    print(f"uag: the plot is in {printable(str(out))}", file=sys.stderr)
