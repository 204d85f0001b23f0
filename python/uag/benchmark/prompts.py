"""Reads prompts from a file: one per line, or from a field of the JSON object of each line."""

import json
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, cast

from uag.errors import FileError, PromptError
from uag.files import kind_of, read_text

# Fields of a JSON object that may hold its prompt; the first one that exists is used. These are the
# names in HumanEval, Spec-Bench and MBPP.
FIELDS = ("prompt", "turns", "text")
SUFFIXES = (".txt", ".jsonl")


def read_prompts(path: Path, limit: int | None = None) -> list[str]:
    r"""The first `limit` prompts of a file; all, if it is `None`.

    A `.txt` file has a prompt on each line that is not blank. A `.jsonl` file has a JSON object on
    each line, with the prompt in the field "prompt", "turns" (the first of them) or "text". Either
    may be compressed, with `.gz` or `.xz` at the end.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "prompts.jsonl")
    ...     _ = file.write_text('{"prompt": "Once"}\n{"turns": ["One day", "And then?"]}\n')
    ...     read_prompts(file)
    ['Once', 'One day']

    Raises:
        PromptError: naming the file, and the line if a line is wrong.
    """
    kind = kind_of(path)
    if kind not in SUFFIXES:
        raise PromptError(
            f"{path}: prompts are read from files that end with {' or '.join(SUFFIXES)}, "
            "each also with .gz or .xz"
        )
    try:
        lines = StringIO(read_text(path, "prompts"), newline=None)
    except FileError as error:
        raise PromptError(str(error)) from error
    prompts = list(islice(_prompts(path, lines, as_json=kind == ".jsonl"), limit))
    if not prompts:
        raise PromptError(f"{path} has no prompts")
    return prompts


def _prompts(path: Path, lines: Iterable[str], *, as_json: bool) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompt = _field(line) if as_json else line.rstrip("\n")
            prompt.encode()  # JSON can hold a lone surrogate
        except (ValueError, RecursionError) as error:
            raise PromptError(f"{path}, line {number}: {error}") from error
        yield prompt


def _field(line: str) -> str:
    """The prompt in a line's JSON object; raises a `ValueError` that says what is wrong with it."""
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
