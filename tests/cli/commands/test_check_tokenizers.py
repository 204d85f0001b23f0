"""`uag check-tokenizers`: the core against the tokenizers library."""

import json
import lzma
from pathlib import Path

import pytest

from tests.support.tokenizers import QWEN2_SPLIT, TOKENIZERS, tokenizer
from uag import _core
from uag.cli import main
from uag.translation import core_tokenizer as reader


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["check-tokenizers", *arguments])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tokenizers")
    for name in TOKENIZERS:
        (root / name).mkdir()
        tokenizer(name).backend_tokenizer.save(str(root / name / "tokenizer.json"))
    return root


def test_no_difference_in_our_own(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    status, out, _ = run(capsys, str(folder), "--bytes", "50_000", "--json")
    found = json.loads(out)["tokenizers"]
    assert status == 0
    assert [row["tokenizer"] for row in found] == sorted(TOKENIZERS)
    assert all(row["different"] == 0 and row["bytes"] >= 50_000 for row in found)
    assert {row["tokenizer"]: row["path"] for row in found} == dict.fromkeys(TOKENIZERS, "fast") | {
        "odd": "slow"
    }


def test_a_table(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    status, out, _ = run(capsys, str(folder), "--bytes", "1000")
    assert status == 0
    assert "0 bytes each" in out and "odd: slow: pre_tokenizer" in out


def test_a_planted_difference_is_found_and_made_short(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read by another's file: one number a piece, where the tokenizer has three.
    spec = json.loads(tokenizer("llama3").backend_tokenizer.to_str())
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN2_SPLIT
    planted = _core.Tokenizer(json.dumps(spec))
    monkeypatch.setattr(reader, "core_tokenizer", lambda _: planted)
    status, out, _ = run(capsys, str(folder / "llama3"), "--bytes", "20_000", "--json")
    (row,) = json.loads(out)["tokenizers"]
    assert status == 1 and row["different"] > 0
    (ids,) = (one for one in row["differences"] if one["law"] == "ids")
    assert len(ids["text"]) <= 3 and ids["text"].isnumeric()
    status, out, _ = run(capsys, str(folder / "llama3"), "--bytes", "20_000")
    assert status == 1 and "llama3: ids:" in out


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = run(capsys, str(tmp_path / "empty"))
    assert (status, out) == (1, "") and "no tokenizer.json in" in err and err.count("\n") == 1
    tokenizer("gpt2").backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    for name, content, message in (
        ("latin.txt", b"caf\xe9", "no UTF-8"),
        ("broken.json", b'["a"', "cannot read a text from"),
        ("none.txt", b"", "no text in"),
        ("cut.txt.xz", lzma.compress(b"text")[:-9], "cannot read a text from"),
        ("deep.json", b"[" * 100_000, "cannot read a text from"),
    ):
        (tmp_path / name).write_bytes(content)
        status, out, err = run(capsys, str(tmp_path), "--text", str(tmp_path / name))
        assert (status, out) == (1, "") and message in err and err.count("\n") == 1, err


def test_files_that_are_no_tokenizer_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    status, out, _ = run(capsys, str(tmp_path), "--bytes", "100", "--json")
    (row,) = json.loads(out)["tokenizers"]
    assert (status, row["path"]) == (1, "not compared") and row["reason"]
