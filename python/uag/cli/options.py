"""Options that several commands share, and the objects that they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.help import DRAFTING, MODELS, OUTPUT, RUNNING, TEXT
from uag.cli.terminal import tell

if TYPE_CHECKING:
    from uag.benchmark.comparison import Comparison
    from uag.decoding.output import Output
    from uag.drafting.lookup import Lookup

MOST_RUNS = 10_000
Assistant = Annotated[
    str | None,
    typer.Option(
        help="Hub name or folder of the model that drafts; 'lookup' to draft by copying from "
        "texts alone.",
        metavar="NAME",
        rich_help_panel=MODELS,
    ),
]
Length = Annotated[
    int,
    typer.Option(
        "--max-new-tokens",
        "-n",
        min=1,
        help="Write at most this many tokens.",
        metavar="NUMBER",
        rich_help_panel=TEXT,
    ),
]
LookaheadOption = Annotated[
    str,
    typer.Option(
        "--lookahead",
        "-k",
        help="Tokens to draft in a round: a number, auto or heuristic.",
        metavar="NUMBER",
        rich_help_panel=DRAFTING,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="How the models run: auto, eager, graphs or compile.",
        metavar="ENGINE",
        rich_help_panel=RUNNING,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile both models first. This takes a while.",
        rich_help_panel=RUNNING,
    ),
]
Runs = Annotated[
    int,
    typer.Option(
        min=1,
        max=MOST_RUNS,
        help="Time each method this often.",
        metavar="NUMBER",
        rich_help_panel=RUNNING,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        help="Also write a page of HTML that shows every round.",
        metavar="FILE",
        rich_help_panel=OUTPUT,
    ),
]
LookUp = Annotated[
    bool | None,
    typer.Option(
        help="Whether to also draft by copying from the text so far. By default it is done with "
        "--lookahead auto.",
        rich_help_panel=DRAFTING,
    ),
]
Texts = Annotated[
    list[Path] | None,
    typer.Option(
        "--text",
        help="Also draft by copying from this file. May be repeated.",
        metavar="FILE",
        rich_help_panel=DRAFTING,
    ),
]


class Conflict(typer.BadParameter):
    """Options that do not go together; the message names them, so nothing stands before it."""

    def format_message(self) -> str:
        """What the user reads."""
        return self.message


def check_greedy(do_sample: bool | None, sampled_by: dict[str, Any]) -> None:
    """Refuse `--greedy` beside options that only sampling reads."""
    named = [name for name, value in sampled_by.items() if value is not None]
    if do_sample is False and named:
        option = named[0].replace("_", "-")
        raise Conflict(f"--greedy, but --{option} samples: leave one out")


def check_report(path: Path | None) -> None:
    """Check before the work begins that the report can be written."""
    if path is not None:
        from uag.files import check_writable

        check_writable(path)


def write_report(
    path: Path | None, outs: "list[Output]", comparison: "Comparison | None" = None
) -> None:
    """Write the page, if a path is given, and print where it is."""
    if path is not None:
        from uag.report.page import write_page

        write_page(path, outs, comparison)
        tell(f"every round is in {path}")


def lookup_option(
    assistant: str | None, beside: bool | None, files: list[Path] | None
) -> "Lookup | bool | None":
    """The decoder's `lookup` option for a command line; `None` for the default."""
    if not (files or assistant == "lookup"):
        return beside
    if beside is False:
        raise Conflict("--no-lookup, but --text or --assistant lookup: leave one out")
    from uag.drafting.lookup import Lookup
    from uag.files import read_bytes

    return Lookup(read_bytes(file, "a text") for file in files or ())
