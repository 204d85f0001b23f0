"""What commands show on a terminal, as text files: `python -m tests.support.screens` writes them.

Numbers that differ from run to run or between machines are replaced; a folder of a test is `./`.
"""

import io
import os
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

import uag
from tests.support.commands import COMMANDS
from uag.benchmark.comparison import BY_ENGINE, PLAIN, TRANSFORMERS, UAG, Comparison, Method, Run
from uag.benchmark.difference import Difference, Margin
from uag.benchmark.selection import Selection
from uag.cli import main
from uag.cli.terminal import printable
from uag.report.selection_table import selection_table
from uag.report.tables import comparison_table

FOLDER = Path(__file__).parents[1] / "cli" / "screens"
COLUMNS = (60, 80, 120)
DEMO = Path(uag.__file__).parent / "demo_pair"
TARGET, ASSISTANT = "demo_pair/target", "demo_pair/assistant"

SHOWN: dict[str, list[str]] = {
    "uag": ["--help"],
    **{f"{name}-help": [name, "--help"] for name in COMMANDS},
    "inspect": ["inspect", TARGET, ASSISTANT],
    "inspect-ranking": ["inspect", TARGET, ASSISTANT, TARGET],
    "check-tokenizers": ["check-tokenizers", "demo_pair", "--bytes", "20_000"],
    "generate-stats": [
        *("generate", "--target", TARGET, "--assistant", ASSISTANT, "-n", "12", "-k", "3"),
        *("--stats", "--", "Once upon a time"),
    ],
    "generate-error": ["generate", "--target", "./no-such", "Once"],
    "generate-usage": ["generate", "--target", TARGET, "--greedy", "--seed", "1", "Once"],
    "sample-texts-usage": [
        *("sample-texts", TARGET, "--prompts", "demo_pair/README.md", "--out", "texts.txt"),
    ],
    "demo-error": ["demo", "--report", "no-such/page.html"],
    "compare-usage": ["compare", "--target", TARGET],
    "compare-report-usage": [
        *("compare", "--target", TARGET, "--assistant", ASSISTANT, "--assistant", TARGET),
        *("--report", "page.html"),
    ],
    "inspect-error": ["inspect", TARGET, "./no-such"],
    "plot-error": ["plot", "no-such.json", "--out", "plot.svg"],
    "check-tokenizers-usage": ["check-tokenizers", "no-such"],
    "check-tokenizers-error": ["check-tokenizers", "demo_pair", "--text", "/dev/null"],
}


def _compared(*, differs: bool = False, partial: bool = False) -> Comparison:
    """Three prompts timed with four methods; or the first repetition of them, on two prompts."""
    alike = [[*range(100, 164)], [*range(200, 264)], [*range(300, 364)]]
    other = [alike[0], [*alike[1][:40], 7, *alike[1][41:]], alike[2]]

    def method(name: str, seconds: float, forwards: int, texts: list[list[int]]) -> Method:
        times = [seconds] if partial else [seconds, 1.04 * seconds, 0.97 * seconds]
        prompts = texts[:2] if partial else texts
        runs = [[Run(ids, time, forwards) for ids in prompts] for time in times]
        return Method(name, runs, first=Run(texts[0], 2 * seconds, forwards))

    methods = [
        method(PLAIN, 0.9, 64, alike),
        Method(TRANSFORMERS, [], ("ValueError", "the assistant has another vocabulary")),
        method(BY_ENGINE["graphs"], 0.5, 64, alike),
        method(UAG, 0.3, 20, other if differs else alike),
    ]
    if partial:
        methods[2] = Method(BY_ENGINE["graphs"], [])
    margin = Margin((21.125, 21.0), 0.125, "bfloat16", tie=True)
    difference = Difference(UAG, 1, 40, 240, 7, (" park", " garden"), margin)
    return Comparison(
        ["one", "two", "three"],
        methods,
        "greedy, as no temperature is given",
        interrupted=(12, 40) if partial else None,
        differences=[difference] if differs else [],
    )


NAMES = ["./assistants/before", "example/an-assistant-with-a-long-name"]
# Tables whose numbers are measured, here made up.
TABLES = {
    "compare-table": _compared(),
    "compare-table-differs": _compared(differs=True),
    "compare-table-partial": _compared(partial=True),
    "compare-table-several": Selection(NAMES, [_compared(), _compared()]),
    "compare-table-several-partial": Selection(NAMES, [_compared(), _compared(partial=True)]),
}
# Versions, seconds and speeds.
VARYING = (
    (r"tokenizers \d+\.\d+\.\d+", "tokenizers 1.2.3"),
    (r"\d+\.\d\d s", "0.12 s"),
    (r"\d+(\.\d+)? tokens/s", "12.3 tokens/s"),
    (r"^( (?:assistant|target) +fast .* )\d+$", r"\g<1>0"),
)


def screen(words: list[str], columns: int) -> str:
    """What a terminal of this width shows of a command line: standard output, then errors."""
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(DEMO.parent)
    terminal = {"COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1"}
    try:
        with patch.dict(os.environ, terminal), redirect_stdout(out), redirect_stderr(err):
            try:
                main(words)
            except SystemExit as stopped:
                status = stopped.code or 0
    finally:
        os.chdir(before)
    text = f"$ uag {' '.join(words)}\n{out.getvalue()}{err.getvalue()}[status {status}]\n"
    lines = [line.rstrip() for line in text.splitlines()]
    return "".join(f"{_steady(line)}\n" for line in lines)


def table(name: str, columns: int) -> str:
    """A table of a comparison, as a terminal of this width shows it."""
    shown = io.StringIO()
    console = Console(file=shown, width=columns, highlight=False)
    made = TABLES[name]
    several = isinstance(made, Selection)
    console.print(
        selection_table(made, printable) if several else comparison_table(made, printable)
    )
    return "".join(f"{line.rstrip()}\n" for line in shown.getvalue().splitlines())


def _steady(line: str) -> str:
    for pattern, fixed in VARYING:
        line = re.sub(pattern, fixed, line)
    return line


def screens() -> dict[Path, Callable[[], str]]:
    """What draws each file."""
    drawn: dict[Path, Callable[[], str]] = {}
    for columns in COLUMNS:
        for name, words in SHOWN.items():
            drawn[FOLDER / f"{name}-{columns}.txt"] = partial(screen, words, columns)
        for name in TABLES:
            drawn[FOLDER / f"{name}-{columns}.txt"] = partial(table, name, columns)
    return drawn


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for path, draw in screens().items():
        path.write_text(draw())
