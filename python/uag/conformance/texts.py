"""Texts to try tokenizers on: stretches of documents, never cut and joined alike twice."""

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, cast

from uag.errors import FileError
from uag.files import kind_of, read_text

SUFFIXES = (".txt", ".md", ".json", ".jsonl", ".xz", ".gz")
# Longer texts are cut: a tokenizer without pieces takes far longer on them, and shows no more.
MAX_CHARACTERS = 20_000
JOINTS = ("", "", " ", "  ", "\n", "\n\n", "\t", ". ")
# How often a text gets an insertion, how often it is one of the given, and how often all of it.
P_INSERT, P_GIVEN, P_WHOLE = 0.5, 0.6, 0.8
# From where characters are drawn: ASCII, Latin, every script, symbols and pictures.
PLANES = ((0x20, 0x7F), (0xA0, 0x2FF), (0x300, 0xD7FF), (0xE000, 0xFFFD), (0x1F000, 0x1FAFF))


def read_texts(paths: Sequence[Path]) -> list[str]:
    r"""The documents in files and folders: `.json` gives its strings, `.jsonl` those of each line.

    Also with `.xz` or `.gz` after it. Of a folder, all files that end with one of `SUFFIXES`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text('{"title": "Once", "lines": ["One day"]}')
    ...     read_texts([Path(folder)])
    ['Once', 'One day']

    Raises:
        FileError: naming the file that can't be read, or if there is no text at all.
    """
    texts: list[str] = []
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and f.is_file())
        texts += [text for file in files for text in _read(file) if text]
    if not texts:
        raise FileError(
            f"no text in {', '.join(map(str, paths))}; "
            f"give files of text, or folders of files that end with {', '.join(SUFFIXES)}"
        )
    return texts


def _read(file: Path) -> list[str]:
    text = read_text(file, "a text")
    try:
        match kind_of(file):
            case ".json":
                return list(_strings(json.loads(text)))
            case ".jsonl":
                lines = (line for line in text.split("\n") if line.strip())
                return [string for line in lines for string in _strings(json.loads(line))]
            case _:
                return [text]
    except (ValueError, RecursionError) as error:
        raise FileError(f"cannot read a text from {file}: {error}") from error


def _strings(value: object) -> Iterator[str]:
    """All strings in a JSON value, but for the names in it and halves of characters."""
    match value:
        case str():
            yield value.encode(errors="ignore").decode()
        case dict():
            for inner in cast("dict[str, Any]", value).values():
                yield from _strings(inner)
        case list():
            for inner in cast("list[Any]", value):
                yield from _strings(inner)
        case _:
            pass


def random_texts(
    documents: Sequence[str], size: int, seed: int | str = 0, insertions: Sequence[str] = ()
) -> Iterator[str]:
    """Texts of 1 to some 20,000 characters, `size` bytes of UTF-8 or a little more together.

    First the documents that are short enough, in any order, for a quarter of the size. Then one to
    three stretches of documents joined, their lengths of all magnitudes alike. Half of those have
    something strange inserted: one of the `insertions`, or characters from anywhere in Unicode.

    >>> texts = list(random_texts(["Once upon a time"], 1000, insertions=["<s>"]))
    >>> sum(len(text.encode()) for text in texts) >= 1000, max(map(len, texts)) < 100
    (True, True)
    """
    draw = Random(seed)
    weights = list(accumulate(len(document) for document in documents))
    left = size
    for document in draw.sample(documents, len(documents)):
        if left <= size * 3 // 4:
            break
        if 0 < len(document) <= MAX_CHARACTERS:
            yield document
            left -= len(document.encode())
    while left > 0:
        pieces: list[str] = []
        for _ in range(draw.choice((1, 1, 2, 3))):
            (document,) = draw.choices(documents, cum_weights=weights)
            length = int(min(len(document), MAX_CHARACTERS) ** draw.random())
            start = draw.randrange(len(document) - length + 1)
            pieces += [document[start : start + length], draw.choice(JOINTS)]
        text = "".join(pieces[:-1])
        if draw.random() < P_INSERT:
            for _ in range(draw.randint(1, 3 + len(text) // 100)):
                at = draw.randrange(len(text) + 1)
                text = text[:at] + _insertion(draw, insertions) + text[at:]
        yield text
        left -= len(text.encode())


def _insertion(draw: Random, insertions: Sequence[str]) -> str:
    if insertions and draw.random() < P_GIVEN:
        insertion = draw.choice(insertions)
        return (
            insertion
            if draw.random() < P_WHOLE
            else insertion[: draw.randrange(len(insertion) + 1)]
        )
    plane = draw.choice(PLANES)
    return "".join(chr(draw.randint(*plane)) for _ in range(draw.randint(1, 5)))
