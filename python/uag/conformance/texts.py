"""Random texts to test tokenizers on, cut and joined from documents."""

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, cast

from uag.errors import FileError
from uag.files import kind_of, read_text

SUFFIXES = (".txt", ".md", ".json", ".jsonl", ".xz", ".gz")
# Longer texts are cut: a tokenizer without a pre-tokenizer is far slower on them, and they find no
# more differences.
MAX_CHARACTERS = 20_000
JOINTS = ("", "", " ", "  ", "\n", "\n\n", "\t", ". ")
# Probabilities that a text gets insertions, that one of them is a given string, and that the given
# string is inserted whole.
P_INSERT, P_GIVEN, P_WHOLE = 0.5, 0.6, 0.8
# Ranges of random characters: ASCII, Latin, every script, symbols, pictures.
PLANES = ((0x20, 0x7F), (0xA0, 0x2FF), (0x300, 0xD7FF), (0xE000, 0xFFFD), (0x1F000, 0x1FAFF))


def read_texts(paths: Sequence[Path]) -> list[str]:
    r"""The documents in files and folders.

    A `.json` file gives all strings in it, a `.jsonl` file those of each line, and any other file
    is one document. Each may be compressed, with `.xz` or `.gz` at the end. Of a folder, all files
    at any depth are read that end with one of `SUFFIXES`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text('{"title": "Once", "lines": ["One day"]}')
    ...     read_texts([Path(folder)])
    ['Once', 'One day']

    Raises:
        FileError: if a file cannot be read, or if there is no text at all.
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
    """All strings in a JSON value, without names of fields and without lone surrogates."""
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
    """Random texts of 1 to about 20,000 characters, which add up to `size` bytes of UTF-8 or more.

    First whole documents in random order, up to a quarter of the size, without those that are too
    long. Then texts joined from one to three parts of documents, whose lengths are spread evenly
    over orders of magnitude. Half of these get insertions: strings of `insertions`, whole or cut,
    and characters from anywhere in Unicode.

    >>> texts = list(random_texts(["Once upon a time"], 1000, insertions=["<s>"]))
    >>> sum(len(text.encode()) for text in texts) >= 1000, max(map(len, texts)) < 100
    (True, True)
    """
    random = Random(seed)
    weights = list(accumulate(len(document) for document in documents))
    left = size
    for document in random.sample(documents, len(documents)):
        if left <= size * 3 // 4:
            break
        if 0 < len(document) <= MAX_CHARACTERS:
            yield document
            left -= len(document.encode())
    while left > 0:
        pieces: list[str] = []
        for _ in range(random.choice((1, 1, 2, 3))):
            (document,) = random.choices(documents, cum_weights=weights)
            length = int(min(len(document), MAX_CHARACTERS) ** random.random())
            start = random.randrange(len(document) - length + 1)
            pieces += [document[start : start + length], random.choice(JOINTS)]
        text = "".join(pieces[:-1])
        if random.random() < P_INSERT:
            for _ in range(random.randint(1, 3 + len(text) // 100)):
                at = random.randrange(len(text) + 1)
                text = text[:at] + _insertion(random, insertions) + text[at:]
        yield text
        left -= len(text.encode())


def _insertion(random: Random, insertions: Sequence[str]) -> str:
    if insertions and random.random() < P_GIVEN:
        insertion = random.choice(insertions)
        return (
            insertion
            if random.random() < P_WHOLE
            else insertion[: random.randrange(len(insertion) + 1)]
        )
    plane = random.choice(PLANES)
    return "".join(chr(random.randint(*plane)) for _ in range(random.randint(1, 5)))
