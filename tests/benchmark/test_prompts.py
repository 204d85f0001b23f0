"""Files of prompts, and those that are refused."""

import gzip
import json
from pathlib import Path

import pytest

from uag.benchmark.prompts import read_prompts
from uag.errors import PromptError

HUMAN_EVAL = {"task_id": "HumanEval/0", "prompt": "def add(x, y):\n", "text": "not this"}

SPEC_BENCH = {"question_id": 81, "turns": ["Write a story.", "Shorter."]}

MBPP = {"text": "Write a function to add.", "code": "def add(x, y): ..."}

ROWS = "\n".join(json.dumps(row) for row in (HUMAN_EVAL, SPEC_BENCH, MBPP))

EXPECTED = ["def add(x, y):\n", "Write a story.", "Write a function to add."]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "lines.txt",
            "Once \n\n  One day\r\n\u2028 a line\n",
            ["Once ", "  One day", "\u2028 a line"],
        ),
        ("marked.txt", "\ufeffOnce", ["Once"]),
        ("rows.jsonl", ROWS + "\n\n", EXPECTED),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_prompts_are_read(
    tmp_path: Path, name: str, text: str, expected: list[str], compressed: bool
) -> None:
    file, data = tmp_path / name, text.encode()
    if compressed:
        file, data = tmp_path / f"{name}.gz", gzip.compress(data)
    file.write_bytes(data)
    assert read_prompts(file) == expected
    assert read_prompts(file, limit=1) == expected[:1]


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty.txt", b"\n \n", "has no prompts"),
    ("rows.json", b"[]", r"end with \.txt or \.jsonl"),
    ("half.jsonl", b'{"prompt": "a"}\n\n{"prompt": "a', "half.jsonl, line 3: "),
    ("list.jsonl", b"[1]", "line 1: a list where a JSON object is needed"),
    ("other.jsonl", b'{"question": "a"}', "line 1: the object has none of the fields prompt"),
    ("number.jsonl", b'{"prompt": 7}', "line 1: the field 'prompt' is no text"),
    ("nothing.jsonl", b'{"prompt": ""}', "line 1: the field 'prompt' is no text, or an empty one"),
    ("turns.jsonl", b'{"turns": []}', "line 1: the field 'turns'"),
    ("half-character.jsonl", b'{"prompt": "\\ud83d"}', "line 1: .*surrogates"),
    ("deep.jsonl", b"[" * 100_000, "line 1: "),
    ("latin.txt", b"caf\xe9", "no UTF-8"),
    ("plain.txt.gz", b"Once", "cannot read prompts from"),
    ("cut.txt.gz", gzip.compress(b"Once upon a time")[:-9], "cannot read prompts from"),
    ("broken.txt.gz", gzip.compress(b"Once")[:10] + b"\xff" * 20, "cannot read prompts from"),
]


@pytest.mark.parametrize(
    ("name", "data", "message"), BAD_FILES, ids=[name for name, *_ in BAD_FILES]
)
def test_a_bad_file_is_one_clear_error(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PromptError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(PromptError, match=str(path)):
            read_prompts(path)
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(PromptError, match="cannot read prompts"):
        read_prompts(tmp_path / "folder.txt")
