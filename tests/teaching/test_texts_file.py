"""A file of texts: it goes on where it was left, and keeps nothing that is not its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from uag.errors import FileError
from uag.requests.prompts.chat import Chat
from uag.teaching.sampling import WrittenText
from uag.teaching.texts_file import TextsFile

PROMPTS = ["Once", "One\u2028day", "日本", "end"]
TEXTS = [WrittenText(" there\u2028was", "length", [0, 6]), WrittenText("", "eos", [])]


def filled(path: Path) -> bytes:
    file = TextsFile(path, PROMPTS, "a1", samples=2)
    for prompt in file.left:
        file.add(prompt, TEXTS)
    return path.read_bytes()


def test_lines_are_what_trainers_read(tmp_path: Path) -> None:
    lines = filled(tmp_path / "texts.jsonl").decode().split("\n")
    assert json.loads(lines[0]) == {
        "prompt": "Once",
        "completion": " there\u2028was",
        "finish_reason": "length",
        "rejected": [0, 6],
        "settings": "a1",
    }
    assert len(lines) == 2 * len(PROMPTS) + 1


def test_wherever_it_was_cut_it_becomes_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    whole = filled(path)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert filled(path) == whole


@pytest.mark.parametrize("has_template", [True, False])
def test_a_chat_is_left_to_the_assistants_template_if_it_has_one(
    tmp_path: Path, *, has_template: bool
) -> None:
    path = tmp_path / "texts.jsonl"
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    file = TextsFile(path, [Chat(said)], "a1", as_messages=has_template)
    file.add(Chat(said), TEXTS[:1])
    row = json.loads(path.read_bytes())
    if has_template:
        assert row["messages"] == [*said, {"role": "assistant", "content": TEXTS[0].text}]
    else:
        assert row["prompt"] == "system:\nBe brief.\n\nuser:\nHi\n\nassistant:\n"
        assert row["completion"] == TEXTS[0].text
    assert TextsFile(path, [Chat(said)], "a1", as_messages=has_template).left == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("5\n", "line 1 is no text"),
        ("{\n", "line 1 is no text"),
        ('{"text": "Once"}\n', "line 1 is no text"),
        ("[" * 100_000 + "\n", "line 1 is no text"),
        ('{"prompt": "Two", "completion": "", "settings": "a1"}\n', "line 1 is of another prompt"),
        ('{"prompt": "Once", "completion": "", "settings": "b2"}\n', "with other settings"),
    ],
)
def test_another_file_is_refused_and_stays(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content)
    with pytest.raises(FileError, match=said):
        TextsFile(path, PROMPTS, "a1")
    assert path.read_text() == content


def test_a_file_with_more_texts_than_prompts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    filled(path)
    with pytest.raises(FileError, match="line 3 is of no prompt; give another file"):
        TextsFile(path, PROMPTS[:1], "a1", samples=2)


@pytest.mark.parametrize("name", ["texts.json", "texts.jsonl.gz", "texts", "no/texts.jsonl"])
def test_a_place_where_texts_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match=name):
        TextsFile(tmp_path / name, PROMPTS, "a1")
