"""Options that several commands share, and what they stand for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.terminal import printable

if TYPE_CHECKING:
    from uag.benchmark.comparison import Comparison
    from uag.decoder import SpeculativeDecoder
    from uag.decoding.output import Output
    from uag.drafting.lookup import Lookup

Length = Annotated[
    int, typer.Option("--max-new-tokens", "-n", min=1, help="Most target tokens to generate.")
]
LookaheadOption = Annotated[
    str,
    typer.Option(
        "--lookahead", "-k", help="Assistant tokens to draft a round, 'auto' or 'heuristic'."
    ),
]
DType = Annotated[str, typer.Option(help="Number type of the weights: auto, float32, bfloat16 ...")]
DeviceMap = Annotated[str | None, typer.Option(help="Where to put the models: auto, cuda, cpu ...")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile both models first, which takes a while.")
]
Report = Annotated[
    Path | None,
    typer.Option(help="Also write a page that shows every round, to open in a browser."),
]
LookUp = Annotated[
    bool | None,
    typer.Option(help="Whether the text so far drafts too; by default with lookahead auto."),
]
Texts = Annotated[
    list[Path] | None, typer.Option("--text", help="A file to draft from; may be repeated.")
]
Trust = Annotated[bool, typer.Option(help="Run code that comes with the models.")]
Safe = Annotated[bool, typer.Option(help="Read no weights that can run code: pickles.")]


def check_report(path: Path | None) -> None:
    """Refuse a report that cannot be written before the work begins."""
    if path is not None:
        from uag.files import check_writable

        check_writable(path)


def write_report(
    path: Path | None, outs: "list[Output]", comparison: "Comparison | None" = None
) -> None:
    """Write the page, if one is asked for, and say where it is."""
    if path is not None:
        from uag.report.page import write_page

        write_page(path, outs, comparison)
        print(f"uag: every round is in {printable(str(path))}", file=sys.stderr)


def lookup_option(
    assistant: str | None, beside: bool | None, files: list[Path] | None
) -> "Lookup | bool | None":
    """What to look up in, if anything; `None` if that is not said."""
    if not (files or assistant == "lookup"):
        return beside
    if beside is False:
        raise typer.BadParameter("--no-lookup, but there is a text to draft from: leave one out")
    from uag.drafting.lookup import Lookup
    from uag.files import read_bytes

    return Lookup(read_bytes(file, "a text") for file in files or ())


def load_decoder(
    target: str, assistant: str | None, lookahead: str, **options: Any
) -> "SpeculativeDecoder":
    """The decoder that a command line asks for; `options` are those of `from_pretrained`."""
    from uag.decoder import SpeculativeDecoder
    from uag.lookahead.schedules import parse_lookahead

    return SpeculativeDecoder.from_pretrained(
        target,
        None if assistant == "lookup" else assistant,
        lookahead=parse_lookahead(lookahead),
        **options,
    )


def placement(dtype: str, device_map: str | None) -> dict[str, Any]:
    """Number type and devices, as `from_pretrained` takes them."""
    return {"dtype": dtype} | ({} if device_map is None else {"device_map": device_map})
