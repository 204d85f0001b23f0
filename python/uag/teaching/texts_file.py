"""A file of texts that grows, a JSON object on each line, and goes on where it was left."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from uag.errors import FileError
from uag.files import check_writable, is_file, read_bytes, write_bytes
from uag.requests.prompts.chat import Chat, plain_text
from uag.teaching.sampling import WrittenText

Prompts = Sequence[str | Chat]


class TextsFile:
    r"""The texts of a list of prompts, some of which are there already.

    A line is what trainers read: `{"prompt": ..., "completion": ...}`, or `{"messages": [...]}` for
    a chat. It also has `finish_reason`, `rejected` (see `WrittenText`) and `settings`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "texts.jsonl")
    ...     file = TextsFile(path, ["Once", "One day"], "a1")
    ...     file.add("Once", [WrittenText(" there", "length", [])])
    ...     _ = path.write_bytes(path.read_bytes() + b'{"prompt": "One d')
    ...     TextsFile(path, ["Once", "One day"], "a1").left
    ['One day']

    Attributes:
        left: the prompts without texts, in order.

    Raises:
        FileError: for a name that does not end with `.jsonl`, a file that can't be read or written,
            and one with other lines than those of these prompts and settings.
    """

    def __init__(
        self,
        path: Path,
        prompts: Prompts,
        settings: str,
        *,
        samples: int = 1,
        as_messages: bool = True,
    ) -> None:
        """`settings`: tells apart texts that were made otherwise; `samples`: texts of a prompt.

        `as_messages`: whether a chat is left to the trainer's template, or is written as plain
        text, as an assistant without a template reads it.
        """
        check_name(path)
        self._path = path
        self._settings = settings
        self._as_messages = as_messages
        check_writable(path)
        lines = self._lines() if is_file(path) else []
        if len(lines) > samples * len(prompts):
            raise self._other(f"line {samples * len(prompts) + 1} is of no prompt")
        whole = len(lines) // samples
        for number, line in enumerate(lines):
            self._check(number, line, prompts[number // samples])
        self.left = [*prompts[whole:]]
        kept = b"".join(lines[: whole * samples])
        if is_file(path) and kept != path.read_bytes():
            write_bytes(path, kept, "texts")

    def add(self, prompt: str | Chat, texts: Iterable[WrittenText]) -> None:
        """Append the texts of a prompt.

        Raises:
            FileError: if that can't be written.
        """
        rows = (
            self._begun(prompt, text.text)
            | {
                "finish_reason": text.finish_reason,
                "rejected": text.rejected,
                "settings": self._settings,
            }
            for text in texts
        )
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            with self._path.open("ab") as file:
                file.write(data.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(
                f"cannot write texts to {self._path}: {error.strerror or error}; the same command "
                "goes on where it ended"
            ) from error

    def _begun(self, prompt: str | Chat, text: str) -> dict[str, Any]:
        if isinstance(prompt, Chat) and self._as_messages:
            reply = {"role": "assistant", "content": text}
            return {"messages": [*map(dict[str, Any], prompt.messages), reply]}
        before = plain_text(prompt) if isinstance(prompt, Chat) else prompt
        return {"prompt": before, "completion": text}

    def _lines(self) -> list[bytes]:
        """The whole lines of the file: a process that was stopped may leave half of one."""
        lines = read_bytes(self._path, "texts").splitlines(keepends=True)
        return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]

    def _check(self, number: int, line: bytes, prompt: str | Chat) -> None:
        try:
            row = cast("Mapping[str, Any]", json.loads(line))
            text = row["messages"][-1]["content"] if "messages" in row else row["completion"]
            begun, settings = self._begun(prompt, text), row["settings"]
            same = all(row.get(name) == value for name, value in begun.items())
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise self._other(f"line {number + 1} is no text of uag sample-texts") from error
        if not same:
            raise self._other(f"line {number + 1} is of another prompt")
        if settings != self._settings:
            raise self._other(f"line {number + 1} was made with other settings")

    def _other(self, what: str) -> FileError:
        return FileError(f"{self._path}: {what}; give another file, or delete this one")


def check_name(path: Path) -> None:
    """Refuse a name that is not that of a file of JSON lines.

    Raises:
        FileError: naming the file.
    """
    if path.suffix != ".jsonl":
        raise FileError(f"{path}: texts are written to a file that ends with .jsonl")
