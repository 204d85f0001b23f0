"""The command line, run as a user runs it."""

import subprocess
import sys

import pytest

from tests.support.command_line import run

MISTAKES = [
    (["generate", "--target", "/no/folder", "x"], "there is no folder"),
    (["generate", "--target", "PAIR", "--lookahead", "0", "x"], "lookahead is 0"),
    (["generate", "--target", "PAIR", "--lookahead", "soon", "x"], "lookahead is 'soon'"),
    (["generate", "--target", "PAIR", "--tree", "32", "x"], "a number of candidates from 2 to 31"),
    (["demo", "--tree", "32"], "a number of candidates from 2 to 31"),
    (["generate", "--target", "PAIR", ""], "prompt is empty"),
    (["generate", "--target", "PAIR", "\ud800"], "lone surrogate"),
    (["generate", "--target", "PAIR", "--dtype", "float99", "x"], "float99"),
    (["generate", "--target", "PAIR", "--device-map", "nowhere", "x"], "nowhere"),
    (["compare", "--prompts", "/no/file.txt"], "cannot read prompts from /no/file.txt"),
    (["compare", "--prompts", "/no/prompts.csv"], "end with .txt or .jsonl"),
    (["compare", "--target", "/no/folder", "--assistant", "PAIR"], "there is no folder"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=[message for _, message in MISTAKES]
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], pair: list[str], arguments: list[str], message: str
) -> None:
    status, out, err = run(
        capsys, *[pair[1] if argument == "PAIR" else argument for argument in arguments]
    )
    assert (status, out) == (1, "")
    *loading, mistake = err.splitlines()
    assert all(line.startswith("uag: loading the ") for line in loading)
    assert mistake.startswith("uag: ") and message in mistake


def test_wrong_usage_has_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "generate", "x")[0] == 2
    assert run(capsys, "dance")[0] == 2
    assert run(capsys, "compare", "--target", "x")[0] == 2


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--version")
    assert status == 0 and out.startswith("uag 0.") and out.count("\n") == 1


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uag", "--help"], capture_output=True, text=True, check=True
    )
    assert "demo" in done.stdout
