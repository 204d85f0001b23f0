"""`uag demo`: writes a story with the two small models that come with the package."""

from typing import Annotated

import typer

from uag.cli.help import TEXT
from uag.cli.options import (
    Length,
    LookaheadOption,
    Report,
    Runs,
    TreeOption,
    check_report,
    write_report,
)
from uag.cli.terminal import be_quiet, fail, printable, progress_bar

# Its story ends within the default length, and repeats no four words.
OPENING = "Once, there was a happy girl"
LENGTH = 200
EXAMPLES = "Example:\n\n    uag demo --prompt 'One day, a little dog'"


def demo(
    prompt: Annotated[
        str,
        typer.Option(help="Beginning of the story.", metavar="TEXT", rich_help_panel=TEXT),
    ] = OPENING,
    max_new_tokens: Length = LENGTH,
    lookahead: LookaheadOption = "auto",
    tree: TreeOption = 0,
    runs: Runs = 3,
    report: Report = None,
) -> None:
    """Write a story with two small models that come with uag; time it with and without drafts."""
    be_quiet()
    check_report(report)
    from rich.console import Console

    from uag.benchmark import compare as measure
    from uag.demo import demo_decoder
    from uag.lookahead.schedules import parse_lookahead
    from uag.report.tables import comparison_table, story

    decoder = demo_decoder(lookahead=parse_lookahead(lookahead), tree=tree)
    console = Console(highlight=False)
    out = decoder.generate(prompt, max_new_tokens=max_new_tokens, trace=report is not None)
    console.print(story(printable(prompt), out, decoder.bridge.target, printable))
    console.print()
    with progress_bar() as progress:
        comparison = measure.compare(
            decoder,
            prompt,
            runs=runs,
            max_new_tokens=max_new_tokens,
            with_transformers=False,
            progress=progress,
        )
    console.print(comparison_table(comparison, printable))
    write_report(report, [out], comparison)
    if not comparison.identical:
        fail("the output with drafts differs from plain decoding, which must not happen in float32")
