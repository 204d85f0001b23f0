"""A tokenizer of the `tokenizers` library, as the slow reference of translation."""

import json
import unicodedata

import tokenizers

from uag import _core

METASPACE = "\u2581"


def _alphabet() -> dict[str, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + i): byte for i, byte in enumerate(others)
    }


ALPHABET = _alphabet()


class RealTokenizer:
    """A real tokenizer: whole texts to ids, ids to bytes."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        serialised = tokenizer.to_str()
        described = json.loads(serialised)
        self.core = _core.Tokenizer(serialised)
        self.tokenizer = tokenizers.Tokenizer.from_str(serialised)
        self.tokenizer.encode_special_tokens = True
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        pipeline = json.dumps([described["normalizer"], described["pre_tokenizer"]])
        self.byte_level = '"ByteLevel"' in pipeline
        self.nfc = '"NFC"' in pipeline
        self.prefix = (
            '"Prepend"' in pipeline
            or '"always"' in pipeline
            or '"add_prefix_space": true' in pipeline
        )
        self.prefix_first = '"first"' in pipeline
        added = {token["id"]: token for token in described["added_tokens"]}
        self.specials = [id for id, token in added.items() if token["special"]]
        self.bytes: dict[int, bytes] = {}
        for token, id in self.tokenizer.get_vocab(with_added_tokens=True).items():
            if id in added:
                if not added[id]["special"]:
                    self.bytes[id] = (
                        token if self.byte_level else token.replace(METASPACE, " ")
                    ).encode()
            elif token != described["model"].get("unk_token"):
                self.bytes[id] = self._spelled(token)
        self.plain = sorted(id for id, data in self.bytes.items() if data)

    def _spelled(self, token: str) -> bytes:
        if self.byte_level:
            if all(character in ALPHABET for character in token):
                return bytes(ALPHABET[character] for character in token)
            return token.encode()
        if len(token) == 6 and token.startswith("<0x"):
            return bytes([int(token[3:5], 16)])
        return token.replace(METASPACE, " ").encode()

    def encode(self, text: str) -> list[int]:
        """The ids of a whole text, in which special tokens are only text."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def faithful(self, data: bytes) -> str | None:
        """The text, if the tokenizer sees just that text; `None` otherwise."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
        if self.nfc and unicodedata.normalize("NFC", text) != text:
            return None
        return None if not self.byte_level and METASPACE in text else text

    def takes_space(self, ids: list[int]) -> bool:
        """Whether the first space of a prompt's ids was put there.

        `Metaspace` adds none to one that is there.
        """
        without, whole = (
            self.faithful(self.text(ids, start=True)),
            self.faithful(self.text(ids, start=False)),
        )
        return (
            without is None
            or whole is None
            or self.encode(without) == ids
            or self.encode(whole) != ids
        )

    def text(self, ids: list[int], *, start: bool) -> bytes:
        """The bytes of ids that carry text.

        `start`: they stand where a space may be put before a text.
        """
        data = b"".join(self.bytes[id] for id in ids)
        return (
            data[1:]
            if start and (self.prefix or self.prefix_first) and data.startswith(b" ")
            else data
        )


def held(data: bytes) -> int:
    """Length of the unfinished character at the end."""
    for size in range(1, min(3, len(data)) + 1):
        try:
            data[-size:].decode()
        except UnicodeDecodeError as error:
            if error.start == 0 and error.reason == "unexpected end of data":
                return size
    return 0
