"""What commands show on a terminal, as text files: `python -m tests.support.screens` writes them.

Numbers that differ from run to run or between machines are replaced; a folder of a test is `./`.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import uag
from tests.support.commands import COMMANDS
from uag.cli import main

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
    "demo-error": ["demo", "--report", "no-such/page.html"],
    "compare-usage": ["compare", "--target", TARGET],
    "inspect-error": ["inspect", TARGET, "./no-such"],
    "plot-error": ["plot", "no-such.json", "--out", "plot.svg"],
    "check-tokenizers-usage": ["check-tokenizers", "no-such"],
    "check-tokenizers-error": ["check-tokenizers", "demo_pair", "--text", "/dev/null"],
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


def _steady(line: str) -> str:
    for pattern, fixed in VARYING:
        line = re.sub(pattern, fixed, line)
    return line


def screens() -> Iterator[tuple[Path, list[str], int]]:
    """The file of each screen, its command line and its width."""
    for name, words in SHOWN.items():
        for columns in COLUMNS:
            yield FOLDER / f"{name}-{columns}.txt", words, columns


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for path, words, columns in screens():
        path.write_text(screen(words, columns))
