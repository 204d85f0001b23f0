"""`uag sample-texts`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import CHATML
from tests.support.command_line import run
from uag.teaching import sampling
from uag.teaching.texts_file import TextsFile


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("Once upon a time\nThe dog\nOnce upon a time\nOne day\n")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_texts_of_a_pair(
    capsys: pytest.CaptureFixture[str], pair: list[str], prompts: Path, tmp_path: Path
) -> None:
    """A prompt that stands twice has one text; the assistant changes nothing of it."""
    with_one, without = tmp_path / "with.jsonl", tmp_path / "without.jsonl"
    _, target, *assistant = pair
    asked = ["sample-texts", target, "--prompts", str(prompts), "-n", "8"]
    status, out, err = run(capsys, *asked, *assistant, "--out", str(with_one))
    assert (status, out) == (0, "") and f"3 texts are in {with_one}" in err
    assert run(capsys, *asked, "--out", str(without))[0] == 0
    assert [row["prompt"] for row in rows(with_one)] == ["Once upon a time", "The dog", "One day"]
    assert [row["completion"] for row in rows(with_one)] == [
        row["completion"] for row in rows(without)
    ]
    assert any(row["rejected"] for row in rows(with_one))
    assert not any(row["rejected"] for row in rows(without))


def test_it_goes_on_after_an_interrupt(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    prompts: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "texts.jsonl"
    asked = ["sample-texts", folder, "--prompts", str(prompts), "-n", "8", "--out", str(out)]
    asked += ["--temperature", "0.7", "--samples", "2"]
    assert run(capsys, *asked)[0] == 0
    whole = out.read_bytes()
    out.unlink()
    add, added = TextsFile.add, list[Any]()

    def interrupted(*given: Any) -> None:
        if len(added) == 1:
            raise KeyboardInterrupt
        add(*given)
        added.append(given)

    monkeypatch.setattr(TextsFile, "add", interrupted)
    status, _, err = run(capsys, *asked)
    assert status == 130 and "the same command goes on" in err
    assert len(rows(out)) == 2
    monkeypatch.undo()
    written = list[Any]()
    monkeypatch.setattr(
        sampling, "rejections", lambda *given: written.append(given) or [], raising=True
    )
    status, _, err = run(capsys, *asked)
    assert status == 0 and "1 of 3 prompts have their texts" in err
    assert out.read_bytes() == whole and len(written) == 4


def test_other_settings_are_another_file(
    capsys: pytest.CaptureFixture[str], folder: str, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "texts.jsonl"
    asked = ["sample-texts", folder, "--prompts", str(prompts), "--out", str(out)]
    assert run(capsys, *asked, "-n", "2")[0] == 0
    status, _, err = run(capsys, *asked, "-n", "3")
    assert status == 1 and "other settings" in err


def test_samples_of_greedy_decoding_are_a_mistake(
    capsys: pytest.CaptureFixture[str], folder: str, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "texts.jsonl"
    asked = ["sample-texts", folder, "--prompts", str(prompts), "--out", str(out)]
    status, _, err = run(capsys, *asked, "--samples", "2")
    assert status == 2 and "--samples 2, but greedy" in err
    assert not out.exists()


def test_a_chat_is_in_messages_unless_the_assistant_has_no_template(
    capsys: pytest.CaptureFixture[str], pair: list[str], prompts: Path, tmp_path: Path
) -> None:
    chatty = tmp_path / "chatty"
    shutil.copytree(pair[1], chatty)
    (chatty / "chat_template.jinja").write_text(CHATML)
    asked = ["sample-texts", str(chatty), "--prompts", str(prompts), "-n", "4", "--limit", "1"]
    for more, keys in (([], {"messages"}), (["--assistant", pair[3]], {"prompt", "completion"})):
        out = tmp_path / f"{len(more)}.jsonl"
        words = [*asked, *more, "--system", "Be brief.", "--out", str(out)]
        assert run(capsys, *words)[0] == 0
        (row,) = rows(out)
        assert {*row} == keys | {"finish_reason", "rejected", "settings"}
        assert "Be brief." in str(row)
    status, _, err = run(capsys, "sample-texts", pair[1], *asked[2:], "--chat", "--out", str(out))
    assert status == 1 and "--chat, but the target has no chat template" in err
