"""`uag inspect`: compares a target with assistants before any model runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from uag.cli.help import MODELS, OUTPUT, TEXT
from uag.cli.loading import Loading, loads_files
from uag.cli.terminal import be_quiet, printable

EXAMPLES = """Examples:

    uag inspect google/gemma-2-9b double7/vicuna-68m

    uag inspect ./target ./small other/tokenizer.json

    uag inspect ./target ./assistant --text my_prompts.txt

    uag inspect ./target ./assistant --json | jq .verdict
"""


@loads_files
def inspect(
    target: Annotated[
        str,
        typer.Argument(
            help="Hub name or folder of the target, or its tokenizer.json.", rich_help_panel=MODELS
        ),
    ],
    assistants: Annotated[
        list[str],
        typer.Argument(
            help="The same for the assistant. Several are ranked.", rich_help_panel=MODELS
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            help="A text to compare the tokenizers on. By default texts that come with the "
            "package.",
            metavar="FILE",
            rich_help_panel=TEXT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object in place of tables.", rich_help_panel=OUTPUT
        ),
    ] = False,
    *,
    loading: Loading,
) -> None:
    """Check whether an assistant suits a target, and estimate the speed-up; reads no weights."""
    be_quiet()
    from rich.console import Console

    from uag.inspection.inspect import rank_assistants
    from uag.report.pair_tables import pair_table, ranking_table

    pairs = rank_assistants(
        target,
        assistants,
        text=text,
        assistant_options=loading.assistant_options,
        **loading.options,
    )
    if as_json:
        # For one assistant the object is the pair; for several it has a list of pairs.
        found = [pair.as_dict() for pair in pairs]
        print(json.dumps(found[0] if len(assistants) == 1 else {"pairs": found}))
        return
    console = Console(highlight=False)
    if len(pairs) == 1:
        console.print(pair_table(pairs[0], printable))
    else:
        console.print(ranking_table(pairs, printable))
