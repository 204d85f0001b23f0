"""Target ids to bytes and text, as they come."""

import codecs

from uag._core import Tokenizer


def leading_space(tokenizer: Tokenizer) -> bytes:
    """The bytes that a tokenizer puts before every text: a space, or nothing."""
    opening = b"".join(tokenizer.token_bytes(id) or b"" for id in tokenizer.encode(b"a"))
    return opening.removesuffix(b"a")


class TextBytes:
    """The bytes that ids add to a text; special tokens add none.

    A tokenizer that puts a space before every text has it in its first token, and it is not part
    of the text.
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
    """Decodes ids as they come: a character waits until all of its bytes are there."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes = TextBytes(tokenizer)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, ids: list[int]) -> str:
        """The characters that these ids complete."""
        return self._utf8.decode(self._bytes.add(ids))

    def end(self) -> str:
        """What is left when no more ids come: a replacement character for an unfinished one."""
        return self._utf8.decode(b"", final=True)


class WholeCharacters:
    """Ids on their way to a decoder, held back until the characters they spell are complete."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int]) -> None:
        """Ids follow those of a prompt."""
        self._bytes = TextBytes(tokenizer)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held: list[int] = []
        self.add(prompt)
        self._held = []  # the streamer has them, though the last may have begun a character

    def add(self, ids: list[int]) -> list[int]:
        """The ids, with those held back so far, up to the last that completes a character."""
        complete: list[int] = []
        for id in ids:
            self._held.append(id)
            self._utf8.decode(self._bytes.add([id]))
            if not self._utf8.getstate()[0]:
                complete += self._held
                self._held = []
        return complete

    def end(self) -> list[int]:
        """What is left when no more ids come."""
        return self._held
