"""Texts that draft: what followed where the end of a text stood before."""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from uag._core import Search, Texts
from uag.errors import LoadError, OptionError

LOOKUP = "lookup"
MIN_MATCH = 1
MAX_BYTES = 16 << 20

# A file: this line, a digest of the rest, how long each text is, and their bytes, compressed.
MAGIC = b"uag lookup 1\n"
DIGEST_SIZE = hashlib.sha256().digest_size


class Lookup:
    """Drafts by looking up the end of a text in the text itself and in others, of any language.

    It needs no model and no tokenizer, and pays where texts repeat: summaries, edits, code, answers
    from documents. As the interchange is bytes, any text drafts for any target.

    >>> import uag
    >>> lookup = uag.Lookup(["Once upon a time there was a little girl."])
    >>> decoder = uag.SpeculativeDecoder(target, target_tokenizer, lookup)
    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> lookup.remember(out.text)                      # it drafts for the texts that begin from now
    >>> len(lookup.texts)
    2

    Threads may share it: a generation looks up in the texts as they were when it began.

    Args:
        texts: what to look up in besides the prompt and the output so far; the oldest first.
        min_match: how many bytes at the end of the text must have occurred, at least 1.
        max_bytes: the texts have at most so many bytes together, the oldest leave. With its index a
            byte takes about 17 bytes of memory.

    Raises:
        OptionError: for a `min_match` or `max_bytes` out of range, a text that is neither `str` nor
            `bytes`, or one longer than `max_bytes`.
    """

    def __init__(
        self,
        texts: Iterable[str | bytes] = (),
        *,
        min_match: int = MIN_MATCH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if min_match < 1:
            raise OptionError(f"min_match is {min_match}, but a match has at least 1 byte")
        if not 1 <= max_bytes <= Texts.LIMIT:
            raise OptionError(f"max_bytes is {max_bytes}, but must be from 1 to {Texts.LIMIT}")
        if isinstance(texts, str | bytes):
            raise OptionError("texts is one text; give a list: Lookup(texts=[text])")
        self.min_match = min_match
        self.max_bytes = max_bytes
        self._texts = Texts(max_bytes)
        for text in texts:
            self.remember(text)

    def remember(self, text: str | bytes) -> None:
        """Add a text, such as an earlier output. The oldest leave where `max_bytes` is reached.

        Raises:
            OptionError: for a text that is neither `str` nor `bytes`, or longer than `max_bytes`.
        """
        data = _encoded(text)
        if not self._texts.remember(data):
            raise OptionError(
                f"the text has {len(data)} bytes, but the lookup holds {self.max_bytes}; "
                "raise max_bytes, or remember it in parts"
            )

    @property
    def texts(self) -> list[str]:
        """The texts, the oldest first; bytes that are no UTF-8 replaced."""
        return [text.decode(errors="replace") for text in self._texts.texts]

    @property
    def size(self) -> int:
        """How many bytes the texts have together.

        >>> Lookup(["naïve"]).size
        6
        """
        return self._texts.bytes

    @property
    def memory(self) -> int:
        """How many bytes of memory the texts take with their index."""
        return self._texts.memory

    def search(self) -> Search:
        """A new text, to be looked up in the texts as they are now, and in itself.

        >>> search = Lookup(["one two three"]).search()
        >>> search.append(b"it is one two")
        >>> search.find(6, 4).data
        b' three'
        """
        return self._texts.search()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write texts and settings to a file, whole or not at all.

        Raises:
            OSError: if it cannot be written.
        """
        texts = self._texts.texts
        sizes = [self.min_match, self.max_bytes, len(texts), *map(len, texts)]
        content = zlib.compress(struct.pack(f"<{len(sizes)}Q", *sizes) + b"".join(texts), 1)
        path = Path(path)
        # Beside it, so that it can take its place in one step.
        beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            beside.write_bytes(MAGIC + hashlib.sha256(content).digest() + content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            LoadError: if the file cannot be read, is another kind of file, or is damaged.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise LoadError(f"cannot read {path}: {error.strerror}") from error
        if not data.startswith(MAGIC):
            raise LoadError(f"{path} is no file that Lookup.save of this version wrote")
        content = data[len(MAGIC) + DIGEST_SIZE :]
        if hashlib.sha256(content).digest() != data[len(MAGIC) :][:DIGEST_SIZE]:
            raise LoadError(f"{path} is damaged: its checksum is another; save it again")
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
    """What an `assistant=` or `lookup=` option that is no model stands for.

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
                f"{option!r} cannot draft; give a model, 'lookup', a uag.Lookup, or None"
            )


def _encoded(text: object) -> bytes:
    match text:
        case str():
            # A lone surrogate occurs in no model's text; whatever stands for it, drafts are wrong.
            return text.encode(errors="replace")
        case bytes():
            return text
        case _:
            raise OptionError(f"a text is a {type(text).__name__}; give str or bytes")
