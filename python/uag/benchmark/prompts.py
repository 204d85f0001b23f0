"""Prompts from a file: one a line, or a field of each line's JSON object."""

import gzip
import json
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

from uag.errors import PromptError

# Where a JSON object has its prompt, in this order: HumanEval, Spec-Bench, MBPP.
FIELDS = ("prompt", "turns", "text")
KINDS = (".txt", ".jsonl")


def read_prompts(path: Path, limit: int | None = None) -> list[str]:
    r"""The first `limit` prompts of a `.txt` or `.jsonl` file, or of one compressed to `.gz`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "prompts.jsonl")
    ...     _ = file.write_text('{"prompt": "Once"}\n{"turns": ["One day", "And then?"]}\n')
    ...     read_prompts(file)
    ['Once', 'One day']

    Raises:
        PromptError: naming the file, and the line if it is one that is wrong.
    """
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in KINDS:
        raise PromptError(
            f"{path}: prompts are read from files that end with {' or '.join(KINDS)}, "
            "each also with .gz"
        )
    try:
        with _opened(path) as lines:
            prompts = list(islice(_prompts(path, lines, as_json=kind == ".jsonl"), limit))
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is no UTF-8 text: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise PromptError(f"cannot read prompts from {path}: {error}") from error
    if not prompts:
        raise PromptError(f"{path} has no prompts")
    return prompts


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def _prompts(path: Path, lines: TextIO, *, as_json: bool) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompt = _field(line) if as_json else line.rstrip("\n")
            prompt.encode()  # JSON can spell half a character
        except (ValueError, RecursionError) as error:
            raise PromptError(f"{path}, line {number}: {error}") from error
        yield prompt


def _field(line: str) -> str:
    """The prompt in a JSON object; a `ValueError` says what is wrong with it."""
    found: Any = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} where a JSON object is needed")  # noqa: TRY004
    row = cast("dict[str, Any]", found)
    field = next((field for field in FIELDS if field in row), None)
    if field is None:
        raise ValueError(f"the object has none of the fields {', '.join(FIELDS)}")
    match row[field]:
        case str(prompt) | [str(prompt), *_] if prompt:
            return prompt
        case _:
            raise ValueError(f"the field {field!r} is no text, or an empty one")
