"""How two tokenizers spell the same texts: number of tokens, and where tokens of both end."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import cast

from uag._core import IncrementalEncoder, Tokenizer
from uag.errors import FileError
from uag.files import read_text
from uag.translation.bridge import Both


@dataclass(frozen=True, slots=True)
class Sample:
    """One text as two tokenizers spell it.

    Attributes:
        name: what it is a sample of, such as a language.
        bytes: its length in bytes of UTF-8.
        target_tokens, assistant_tokens: its length in tokens of either tokenizer.
        shared_ends: how many target tokens end where an assistant token ends: only a draft that
            ends there spells whole target tokens.
        known: how many target tokens are, as strings, in the assistant's vocabulary.
        spelled: whether the tokens of either side spell the text byte for byte.
    """

    name: str
    bytes: int
    target_tokens: int
    assistant_tokens: int
    shared_ends: int
    known: int
    spelled: Both[bool]

    @property
    def assistant_per_target(self) -> float:
        """Assistant tokens per target token."""
        return self.assistant_tokens / max(1, self.target_tokens)


def sample(
    name: str,
    text: str,
    target: Tokenizer,
    assistant: Tokenizer,
    strings: set[bytes],
) -> Sample:
    """Spell a text with both tokenizers; `strings` are the tokens of the assistant as bytes."""
    data = text.encode()
    streams = [IncrementalEncoder(core) for core in (target, assistant)]
    for stream in streams:
        stream.append(data)
    target_ids, ends = streams[0].ids, set(streams[1].ends)
    return Sample(
        name,
        len(data),
        len(target_ids),
        len(streams[1].ids),
        shared_ends=sum(end in ends for end in streams[0].ends),
        known=sum(target.token_bytes(id) in strings for id in target_ids),
        spelled=Both(_spells(target, streams[0], data), _spells(assistant, streams[1], data)),
    )


def strings_of(core: Tokenizer) -> set[bytes]:
    """The tokens of a vocabulary as byte strings, without those that carry no text."""
    tokens = (core.token_bytes(id) for id in range(core.vocab_size))
    return {token for token in tokens if token is not None}


def sample_texts() -> dict[str, str]:
    """The texts that come with the package: several languages and scripts, code, numbers.

    >>> list(sample_texts())[0]
    'English'
    """
    source = files("uag.inspection") / "samples.json"
    return cast("dict[str, str]", json.loads(source.read_text(encoding="utf-8")))


def own_text(path: Path) -> dict[str, str]:
    """The text in a user's file, under the file's name.

    Raises:
        FileError: if the file cannot be read, is not UTF-8, or is empty.
    """
    text = read_text(path, "a text")
    if not text.strip():
        raise FileError(f"{path} has no text to compare tokenizers on; give another file")
    return {path.name: text}


def _spells(core: Tokenizer, stream: IncrementalEncoder, data: bytes) -> bool:
    """Whether the tokens spell the text, perhaps with the space that a tokenizer puts before it."""
    spelled = b"".join(core.token_bytes(id) or b"" for id in stream.ids)
    return spelled == data or spelled == b" " + data
