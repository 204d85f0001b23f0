"""How two tokenizers spell the same texts: sizes of tokens, and ends that they have in common."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import cast

from uag import _core
from uag.errors import FileError
from uag.files import read_text
from uag.translation.bridge import Both


@dataclass(frozen=True, slots=True)
class Sample:
    """One text as two tokenizers spell it.

    Attributes:
        name: what it is a sample of.
        bytes: its length.
        target_tokens, assistant_tokens: how many tokens it is to either side.
        shared_ends: how many of the target's tokens end where one of the assistant's does: a draft
            is worth something up to there.
        known: how many of the target's tokens are, as strings, also tokens of the assistant's.
        spelled: whether the target's and the assistant's tokens spell the text, byte for byte.
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
        """Assistant tokens for each of the target's."""
        return self.assistant_tokens / max(1, self.target_tokens)


def sample(
    name: str,
    text: str,
    target: _core.Tokenizer,
    assistant: _core.Tokenizer,
    strings: set[bytes],
) -> Sample:
    """Spell a text on both sides; `strings` are those of the assistant's tokens."""
    data = text.encode()
    streams = [_core.IncrementalEncoder(core) for core in (target, assistant)]
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


def strings_of(core: _core.Tokenizer) -> set[bytes]:
    """The byte strings of a vocabulary, without tokens that carry no text."""
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
    """A text of the user's own, by the name of its file.

    Raises:
        FileError: if it can't be read, is no UTF-8, or is empty.
    """
    text = read_text(path, "a text")
    if not text.strip():
        raise FileError(f"{path} has no text to compare tokenizers on; give another file")
    return {path.name: text}


def _spells(core: _core.Tokenizer, stream: _core.IncrementalEncoder, data: bytes) -> bool:
    """Whether its tokens are the text, but for the space that a tokenizer may put before one."""
    spelled = b"".join(core.token_bytes(id) or b"" for id in stream.ids)
    return spelled == data or spelled == b" " + data
