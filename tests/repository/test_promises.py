"""Every command on the page of promises is one that there is."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PAGE = (ROOT / "docs" / "promises.md").read_text()

COMMANDS = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)

TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)

PROMISES = re.findall(r"^\*\*", PAGE, re.MULTILINE)


def test_each_promise_has_a_command() -> None:
    parts = re.split(r"^(?=\*\*)", PAGE, flags=re.MULTILINE)[1:]
    assert len(parts) == len(PROMISES) > 15
    assert not [part for part in parts if not re.search(r"^    \S", part, re.MULTILINE)]


def names_in(place: str) -> list[str]:
    """The names of the tests in a file, or in those of a folder."""
    at = ROOT / place
    files = sorted(at.rglob("test_*.py")) if at.is_dir() else [at]
    return [name for file in files for name in TEST.findall(file.read_text())]


def test_the_tests_are_there() -> None:
    """Read from the sources: to collect all tests once more takes longer."""
    asked = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("pytest ")]
    assert asked
    for words in asked:
        wanted = words[words.index("-k") + 1].split(" or ") if "-k" in words else [""]
        for place in (word for word in words if word.startswith("tests/")):
            names = names_in(place)
            for part in wanted:
                assert [name for name in names if part in name], (place, part)


@pytest.mark.parametrize("line", [line for line in COMMANDS if not line.startswith("pytest ")])
def test_the_command_is_there(line: str) -> None:
    program, *words = shlex.split(line)
    match program:
        case "python" if words[0] == "-m" and words[1].startswith("tests."):
            source = (ROOT / words[1].replace(".", "/")).with_suffix(".py").read_text()
            options = [word for word in words[2:] if word.startswith("--")]
            for option in options:  # typer makes options of arguments
                assert re.search(rf"\b{option[2:].replace('-', '_')}: Annotated\[", source), option
        case "python":
            once = ["--runs", "1"] if words[1].startswith("benches.") else []
            subprocess.run([sys.executable, *words, *once], check=True, capture_output=True)
        case "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case "cargo":
            assert words == ["test", "-p", "uag"]
            assert 'name = "uag"' in (ROOT / "rust" / "uag" / "Cargo.toml").read_text()
        case _:
            assert (ROOT / program).stat().st_mode & 0o100
