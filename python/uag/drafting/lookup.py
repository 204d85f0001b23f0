"""Drafting by lookup: what followed earlier occurrences of the end of the text."""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from uag._core import Search, Texts
from uag.errors import FileError, OptionError
from uag.files import read_bytes, write_bytes
from uag.values import shown

LOOKUP = "lookup"
MIN_MATCH = 1
MAX_BYTES = 16 << 20

# Format of a saved file: this line, a digest of the rest, then compressed settings, lengths of the
# texts and their bytes.
MAGIC = b"uag lookup 1\n"
DIGEST_SIZE = hashlib.sha256().digest_size


class Lookup:
    """Drafts by looking up the end of the text so far, in that text itself and in other texts.

    It needs no assistant model or tokenizer, and pays where text repeats: summaries, edits, code,
    answers from documents. Lookups work on bytes, so any text in any language drafts for any
    target.

    >>> import uag
    >>> lookup = uag.Lookup(["Once upon a time there was a little girl."])
    >>> decoder = uag.SpeculativeDecoder(target, target_tokenizer, lookup)
    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> lookup.remember(out.text)                      # drafts for generations that begin later
    >>> len(lookup.texts)
    2

    Threads may share it: each generation looks up in the texts that were there when it began.

    Args:
        texts: texts, or the `Path` of each, to look up in besides the prompt and the output so far,
            the oldest first.
        min_match: how many bytes at the end of the text must occur earlier to count as a match, at
            least 1.
        max_bytes: the most bytes that the texts may have together; beyond it, the oldest texts are
            removed. With its index, a byte takes about 17 bytes of memory.

    Raises:
        OptionError: for a `min_match` or `max_bytes` out of range, a text that is no `str`, `bytes`
            or `Path`, or one longer than `max_bytes`.
        FileError: for a file that cannot be read.
    """

    def __init__(
        self,
        texts: Iterable[str | bytes | Path] = (),
        *,
        min_match: int = MIN_MATCH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if min_match < 1:
            raise OptionError(f"min_match is {min_match}, but a match has at least 1 byte")
        if not 1 <= max_bytes <= Texts.LIMIT:
            raise OptionError(f"max_bytes is {max_bytes}, but must be from 1 to {Texts.LIMIT}")
        if isinstance(texts, str | bytes | Path):
            raise OptionError("texts is one text; give a list: Lookup(texts=[text])")
        self.min_match = min_match
        self.max_bytes = max_bytes
        self._texts = Texts(max_bytes)
        for text in texts:
            self.remember(text)

    def remember(self, text: str | bytes | Path) -> None:
        """Add a text, such as an earlier output; if needed, remove the oldest (`max_bytes`).

        Raises:
            OptionError: for a text that is no `str`, `bytes` or `Path`, or longer than `max_bytes`.
            FileError: for a file that cannot be read.
        """
        data = _encoded(text)
        if not self._texts.remember(data):
            raise OptionError(
                f"the text has {len(data)} bytes, but the lookup holds {self.max_bytes}; "
                "raise max_bytes, or remember it in parts"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pickles and copies by its texts, whose index is made again where they arrive."""
        return self.__dict__ | {"_texts": self._texts.texts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._texts = Texts(self.max_bytes)
        for text in state["_texts"]:
            self._texts.remember(text)

    @property
    def texts(self) -> list[str]:
        """The texts, the oldest first; bytes that aren't UTF-8 become replacement characters."""
        return [text.decode(errors="replace") for text in self._texts.texts]

    @property
    def size(self) -> int:
        """The number of bytes that the texts have together.

        >>> Lookup(["naïve"]).size
        6
        """
        return self._texts.bytes

    @property
    def memory(self) -> int:
        """The number of bytes of memory that the texts and their index take."""
        return self._texts.memory

    def search(self) -> Search:
        """Begin an empty text whose end can be looked up in itself and in the texts of this moment.

        >>> search = Lookup(["one two three"]).search()
        >>> search.append(b"it is one two")
        >>> search.find(6, 4).data
        b' three'
        """
        return self._texts.search()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write texts and settings to a file; if that fails, no file is written or changed.

        Raises:
            FileError: if it cannot be written.
        """
        texts = self._texts.texts
        sizes = [self.min_match, self.max_bytes, len(texts), *map(len, texts)]
        content = zlib.compress(struct.pack(f"<{len(sizes)}Q", *sizes) + b"".join(texts), 1)
        data = MAGIC + hashlib.sha256(content).digest() + content
        write_bytes(Path(path), data, "the lookup")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read texts and settings from a file that `save` wrote.

        Raises:
            FileError: if the file cannot be read, is another kind of file, or is damaged.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror}") from error
        if not data.startswith(MAGIC):
            raise FileError(f"{path} is no file written by this version of Lookup.save")
        content = data[len(MAGIC) + DIGEST_SIZE :]
        if hashlib.sha256(content).digest() != data[len(MAGIC) :][:DIGEST_SIZE]:
            raise FileError(f"{path} is damaged: its checksum does not match; save it again")
        content = zlib.decompress(content)
        min_match, max_bytes, count = struct.unpack_from("<3Q", content)
        lengths = struct.unpack_from(f"<{count}Q", content, 24)
        texts: list[bytes] = []
        at = 24 + 8 * count
        for length in lengths:
            texts.append(content[at : at + length])
            at += length
        return cls(texts, min_match=min_match, max_bytes=max_bytes)

    def __repr__(self) -> str:
        return f"Lookup({len(self._texts.texts)} texts of {self.size} bytes)"


def lookup_from(option: object) -> Lookup | None:
    """The `Lookup` that an `assistant=` or `lookup=` option stands for; `None` for no lookup.

    >>> lookup_from("lookup"), lookup_from(None)
    (Lookup(0 texts of 0 bytes), None)

    Raises:
        OptionError: for anything but "lookup", `True`, `False`, `None` or a `Lookup`.
    """
    match option:
        case Lookup():
            return option
        case True | "lookup":
            return Lookup()
        case False | None:
            return None
        case _:
            raise OptionError(
                f"{shown(option)} cannot draft; give a model, 'lookup', a uag.Lookup, or None"
            )


def _encoded(text: object) -> bytes:
    match text:
        case str():
            # No model writes a lone surrogate, so drafts there are wrong whatever replaces it.
            return text.encode(errors="replace")
        case bytes():
            return text
        case Path():
            return read_bytes(text, "a text")
        case _:
            raise OptionError(f"a text is of type {type(text).__name__}; give str, bytes or a Path")
