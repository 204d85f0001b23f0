"""The `uag` commands on the pages: those of README run as printed, and all options exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.support.command_line import run
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag.benchmark import compare
from uag.cli.main import app

ROOT = Path(__file__).parents[2]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Folders that README's commands name.
FOLDERS = {"target": "gpt2", "assistant": "llama2", "another": "llama3"}


def commands(page: Path) -> list[list[str]]:
    """The words of each `uag` command of a page, without what is optional or a comment."""
    text = page.read_text()
    printed = re.findall(r"^    (?:.*; do )?(?:python -m )?uag (.*)$", text, re.MULTILINE)
    printed += re.findall(r"`uag ([a-z][^`\n]*)`", text)
    lines = (re.split(r"[;>]| && ", line.replace("[", "").replace("]", ""))[0] for line in printed)
    return [shlex.split(line, comments=True) for line in lines if "|" not in line]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Base models, without chat templates, where README's commands are run."""
    for folder, name in FOLDERS.items():
        random_model("llama", tokenizer(name)).save_pretrained(tmp_path / folder)
        tokenizer(name).save_pretrained(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "PROMPTS", compare.PROMPTS[:1])


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize(
    "words", [each for each in commands(ROOT / "README.md") if "./target" in each], ids=" ".join
)
def test_commands_of_the_readme_run(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    status, out, _ = run(capsys, *words)
    assert status == 0 and out


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem
)
def test_options_of_commands_exist(page: Path) -> None:
    group: Any = get_command(app)
    for name, *words in commands(page):
        command = group.commands[name]
        known = {option for each in command.params for option in [*each.opts, *each.secondary_opts]}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known | {"--help"}, f"uag {name}"
