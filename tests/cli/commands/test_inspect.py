"""`uag inspect`."""

import json
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.texts import MIXED_TEXT


def test_the_command_shows_a_pair(
    capsys: pytest.CaptureFixture[str], folders: dict[str, str], tmp_path: Path
) -> None:
    status, out, err = run(capsys, "inspect", folders["target"], folders["odd"])
    assert (status, err) == (0, "")
    for part in ("byte-level BPE", "through the", "English", "k=", "Works."):
        assert part in out
    text = tmp_path / "own.txt"
    text.write_text(MIXED_TEXT)
    asked = ["inspect", folders["target"], folders["small"], "--text", str(text), "--json"]
    status, out, _ = run(capsys, *asked)
    described = json.loads(out)
    assert (status, out.count("\n")) == (0, 1)
    assert [one["name"] for one in described["samples"]] == ["own.txt"]
    assert described["samples"][0]["bytes"] == len(MIXED_TEXT.encode())


def test_the_command_ranks_assistants_and_reads_files(
    capsys: pytest.CaptureFixture[str], folders: dict[str, str]
) -> None:
    file = str(Path(folders["small"]) / "tokenizer.json")
    names = [file, folders["target"], folders["middle"], folders["same"]]
    status, out, _ = run(capsys, "inspect", folders["target"], *names, "--json")
    pairs = json.loads(out)["pairs"]
    ranked = [pair["assistant"]["name"] for pair in pairs]
    assert (status, ranked) == (0, [folders["same"], folders["middle"], folders["target"], file])
    assert pairs[0]["score"] > pairs[1]["score"] and pairs[-1]["cost"] is None
    assert pairs[0]["same_tokenizer"] and not pairs[1]["same_tokenizer"]
    status, out, _ = run(capsys, "inspect", folders["target"], *names)
    assert status == 0 and out.index("1 " + folders["same"]) < out.index("4 " + file)


MISTAKES = [
    (["/no/folder", "FOLDER"], "there is no folder"),
    (["FOLDER", "CONFIG"], "no tokenizer.json"),
    (["FOLDER", "FOLDER", "--text", "/no/text.txt"], "cannot read a text from /no/text.txt"),
    (["FOLDER", "FOLDER", "--text", "/dev/null"], "has no text"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=[message for _, message in MISTAKES]
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], folders: dict[str, str], arguments: list[str], message: str
) -> None:
    known = {"FOLDER": folders["small"], "CONFIG": str(Path(folders["small"]) / "config.json")}
    status, out, err = run(capsys, "inspect", *(known.get(each, each) for each in arguments))
    assert (status, out) == (1, "")
    assert err.startswith("uag: ") and err.count("\n") == 1 and message in err
