"""Incremental decoding: target ids to bytes, text and whole characters."""

import codecs

import tokenizers

from uag._core import Tokenizer
from uag.translation.tokenizers import decoded, special_ids

# How `Tokenizer.reason` begins if the core does not know the decoder.
OWN_TEXT = "its own decoder writes the text"


def leading_space(tokenizer: Tokenizer) -> bytes:
    """The bytes that a tokenizer puts before every text: a space, or nothing.

    >>> from uag.translation.core_tokenizer import core_tokenizer
    >>> leading_space(core_tokenizer(target_tokenizer))
    b''
    >>> leading_space(core_tokenizer(assistant_tokenizer))
    b' '
    """
    opening = b"".join(tokenizer.token_bytes(id) or b"" for id in tokenizer.encode(b"a"))
    return opening.removesuffix(b"a")


class TextBytes:
    """Decodes ids to bytes incrementally; special tokens have no bytes.

    If the tokenizer puts a space before every text, that space is removed from the first token.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._unwanted = leading_space(tokenizer)

    def add(self, ids: list[int]) -> bytes:
        """The bytes of the next ids."""
        data = b"".join(self._tokenizer.token_bytes(id) or b"" for id in ids)
        if data and self._unwanted:
            data = data.removeprefix(self._unwanted)
            self._unwanted = b""
        return data


class TextDecoder:
    """Decodes ids to text incrementally; a character is returned when all of its bytes are there.

    >>> from uag.translation.core_tokenizer import core_tokenizer
    >>> text = TextDecoder(core_tokenizer(target_tokenizer))
    >>> text.add(target_tokenizer.encode("Once upon")) + text.end()
    'Once upon'
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes = TextBytes(tokenizer)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, ids: list[int]) -> str:
        """The characters that the next ids complete."""
        return self._utf8.decode(self._bytes.add(ids))

    def end(self) -> str:
        """The rest after the last id: a replacement character if a character is unfinished."""
        return self._utf8.decode(b"", final=True)


class OwnText:
    """As `TextDecoder`, for a tokenizer whose decoder the core does not know: it decodes itself.

    What it writes for some ids may change with the ids after them: only what stays is returned.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = special_ids(tokenizer)
        self._ids: list[int] = []
        self._given = ""

    def add(self, ids: list[int]) -> str:
        """The characters that the next ids complete."""
        self._ids += [id for id in ids if id not in self._special]
        whole = self._decoded()
        return "" if whole.endswith("\ufffd") else self._rest(whole)

    def end(self) -> str:
        """The rest after the last id."""
        return self._rest(self._decoded())

    def _rest(self, whole: str) -> str:
        rest = whole[len(self._given) :] if whole.startswith(self._given) else ""
        self._given += rest
        return rest

    def _decoded(self) -> str:
        return decoded(self._tokenizer, self._ids)


def text_decoder(core: Tokenizer, tokenizer: tokenizers.Tokenizer) -> TextDecoder | OwnText:
    """What decodes ids to text: the core or, if it does not know the decoder, the tokenizer."""
    return OwnText(tokenizer) if core.reason.startswith(OWN_TEXT) else TextDecoder(core)


class WholeCharacters:
    """Holds ids back until the characters that they spell are complete.

    >>> from uag.translation.core_tokenizer import core_tokenizer
    >>> whole = WholeCharacters(core_tokenizer(target_tokenizer), prompt=[])
    >>> first, *others = target_tokenizer.encode("👩")
    >>> whole.add([first]), whole.add(others) == [first, *others]
    ([], True)
    """

    def __init__(self, tokenizer: Tokenizer, prompt: list[int]) -> None:
        """The ids to come continue those of `prompt`."""
        self._bytes = TextBytes(tokenizer)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held: list[int] = []
        self.add(prompt)
        # The streamer already has the prompt's ids, even if the last one begins a character.
        self._held = []

    def add(self, ids: list[int]) -> list[int]:
        """The held-back ids and then these, up to the last one that completes a character."""
        complete: list[int] = []
        for id in ids:
            self._held.append(id)
            self._utf8.decode(self._bytes.add([id]))
            if not self._utf8.getstate()[0]:
                complete += self._held
                self._held = []
        return complete

    def end(self) -> list[int]:
        """The ids still held back after the last one."""
        return self._held
