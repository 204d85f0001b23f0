"""Options that several commands share, and the objects that they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.help import DRAFTING, MODELS, OUTPUT, RUNNING, SAMPLING, TEXT
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
Assistants = Annotated[
    list[str] | None,
    typer.Option(
        "--assistant",
        help="Hub name or folder of the model that drafts; 'lookup' to draft by copying from "
        "texts alone. May be repeated: the fastest is recommended.",
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
TreeOption = Annotated[
    int,
    typer.Option(
        "--tree",
        help="Verify up to this many tokens in a pass, from 2 to 31: what was drafted, and beside "
        "it what the assistant found likely there. 0 verifies only what was drafted.",
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

DoSample = Annotated[
    bool | None,
    typer.Option(
        "--do-sample/--no-do-sample",
        " /--greedy",
        help="Whether to sample tokens, or to always take the likeliest. By default as the "
        "target's generation config says. --temperature, --top-k, --top-p, --min-p and --seed "
        "imply --do-sample.",
        rich_help_panel=SAMPLING,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        help="Above 0. Below 1, likely tokens are chosen more often; above 1, less often.",
        metavar="NUMBER",
        rich_help_panel=SAMPLING,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        help="Choose from this many of the likeliest tokens.",
        metavar="NUMBER",
        rich_help_panel=SAMPLING,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        help="Choose from the likeliest tokens whose probabilities add up to this, from 0 to 1.",
        metavar="NUMBER",
        rich_help_panel=SAMPLING,
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        help="Choose from tokens with at least this share of the likeliest one's "
        "probability, from 0 to 1.",
        metavar="NUMBER",
        rich_help_panel=SAMPLING,
    ),
]
System = Annotated[
    str | None,
    typer.Option(
        help="What the system says before the user. Implies --chat.",
        metavar="TEXT",
        rich_help_panel=TEXT,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Seed of the random choices. The same seed gives the same text, with any assistant.",
        metavar="NUMBER",
        rich_help_panel=SAMPLING,
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        help="Above 1, tokens that are in the text already become less likely, also with --greedy.",
        metavar="NUMBER",
        rich_help_panel=SAMPLING,
    ),
]
# Options that only sampling reads.
SHAPE = ("temperature", "top_k", "top_p", "min_p", "seed")


class Conflict(typer.BadParameter):
    """Options that do not go together; the message names them, so nothing stands before it."""

    def format_message(self) -> str:
        """What the user reads."""
        return self.message


def generation_options(*, do_sample: bool | None, **given: Any) -> dict[str, Any]:
    """The options of `generate` that a command line gives; those that only sampling reads imply it.

    Raises:
        Conflict: for one of those beside `--greedy`.
        OptionError: for a value that is out of range.
    """
    from uag.limits import check_limits

    shape = {name: given[name] for name in SHAPE}
    check_greedy(do_sample, shape)
    if any(value is not None for value in shape.values()):
        do_sample = True
    wanted = given | {"do_sample": do_sample}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    check_limits(wanted)
    return wanted


def check_greedy(do_sample: bool | None, sampled_by: dict[str, Any]) -> None:
    """Refuse `--greedy` beside options that only sampling reads."""
    named = [name for name, value in sampled_by.items() if value is not None]
    if do_sample is False and named:
        option = named[0].replace("_", "-")
        raise Conflict(f"--greedy, but --{option} samples: leave one out")


def check_text(option: str, text: str | None) -> None:
    """Refuse a text whose bytes were no UTF-8: Python has half characters in their place."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise Conflict(f"{option} {text!a} is no UTF-8 text: {error.reason}") from error


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
