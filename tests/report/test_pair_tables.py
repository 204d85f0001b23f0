"""Tables of pairs for a terminal."""

from copy import deepcopy

import pytest

import uag
from tests.support.tokenizers import PROMPT, tokenizer
from uag.inspection.pair import Pair


def test_names_from_files_do_not_reach_the_terminal_as_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    from uag.cli.terminal import printable
    from uag.report.pair_tables import pair_table, ranking_table

    hostile = deepcopy(tokenizer("gpt2"))
    hostile.add_special_tokens({"additional_special_tokens": ["[bold]\x1b[2J"]})
    pair: Pair = uag.inspect_pair(hostile, tokenizer("gpt2"), text=PROMPT)
    console = Console(highlight=False)
    console.print(pair_table(pair, printable))
    console.print(ranking_table([pair], printable))
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[bold]" in out
