"""Options that several commands share."""

import json
from pathlib import Path

import pytest

import uag
from tests.support.command_line import run
from tests.support.pages import data_of, text_of
from uag.cli.options import Conflict, check_text


def test_the_commands_write_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    pair = Path(uag.__file__).parent / "demo_pair"
    models = ["--target", str(pair / "target"), "--assistant", str(pair / "assistant")]
    status, shown, err = run(capsys, "generate", *models, "-n", "8", "One", "--report", str(file))
    (text,) = data_of(file.read_text())["texts"]
    assert status == 0 and text_of(text).decode() + "\n" == shown
    assert err.endswith(f"every round is in {file}\n")
    status, shown, _ = run(
        capsys, "generate", *models, "-n", "8", "One", "--json", "--report", str(file)
    )
    assert (
        status == 0
        and text_of(data_of(file.read_text())["texts"][0]).decode() == (json.loads(shown)["text"])
    )
    status, _, _ = run(capsys, "demo", "-n", "8", "--runs", "1", "--report", str(file))
    data = data_of(file.read_text())
    assert status == 0 and [method["name"] for method in data["comparison"]["methods"]] == [
        "plain",
        "uag",
    ]
    asked = ["compare", "--limit", "2", "-n", "8", "--runs", "1", "--report", str(file)]
    status, _, _ = run(capsys, *asked)
    data = data_of(file.read_text())
    assert status == 0 and len(data["texts"]) == 2 and len(data["comparison"]["methods"]) == 3
    assert all(text["plain_seconds"] > 0 for text in data["texts"])


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, shown, err = run(capsys, "demo", "--report", str(tmp_path / "no" / "page.html"))
    assert (status, shown, err.count("\n")) == (1, "", 1) and "cannot write to" in err


def test_bytes_that_are_no_text_are_named() -> None:
    check_text("--system", "Grüße")
    check_text("--system", None)
    with pytest.raises(Conflict, match=r"--system 'caf.udce9' is no UTF-8 text"):
        check_text("--system", "caf\udce9")
