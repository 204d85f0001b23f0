"""The text of single tokens, as transformers reads them to match stop strings."""

import json
import re
from typing import Any, cast

from transformers.convert_slow_tokenizer import bytes_to_unicode

from uag.errors import OptionError
from uag.translation.tokenizers import AnyTokenizer, backend_of, bare_ids, token_of

# A token is decoded after this text: decoders drop the space before the first one.
BEFORE = "abcdef"
BYTES = {char: byte for byte, char in bytes_to_unicode().items()}
BYTE_TOKEN = re.compile("<0x([0-9a-fA-F]{2})>")


class TokenTexts(dict[int, bytes | None]):
    """For each id the bytes that its token is written as, looked up when they are asked for.

    These are the bytes that `StopStringCriteria` matches: special tokens have those of their
    names. `None` for an id without a token.

    >>> texts = TokenTexts(target_tokenizer)
    >>> [texts[id] for id in target_tokenizer.encode(" it's")], texts[0], texts[10**9]
    ([b' ', b'it', b"'s"], b'<end>', None)

    Attributes:
        has_bytes: whether there are tokens for single bytes.

    Raises:
        OptionError: for a tokenizer that transformers matches no stop strings with.
    """

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        super().__init__()
        backend = backend_of(tokenizer)
        decoder: Any = backend.decoder
        kinds = set[str]() if decoder is None else _kinds(json.loads(decoder.__getstate__()))
        self._falls_back = "ByteFallback" in kinds
        self._byte_level = "ByteLevel" in kinds and not self._falls_back
        self.has_bytes = self._falls_back or self._byte_level
        self._tokenizer = tokenizer
        own = " ".join if decoder is None else decoder.decode
        self._written: Any = getattr(tokenizer, "convert_tokens_to_string", own)
        self._opening = [backend.id_to_token(id) or "" for id in bare_ids(tokenizer, BEFORE)]
        if not self._byte_level and BEFORE not in self._written(self._opening):
            raise OptionError(
                f"stop_strings: they are matched as in transformers, which reads each token after "
                f"the text {BEFORE!r}, and the target's tokenizer cannot write that; leave them "
                "out, and give eos_token_id or stopping_criteria"
            )

    def __missing__(self, id: int) -> bytes | None:
        token = token_of(self._tokenizer, id)
        self[id] = text = None if token is None else self._bytes_of(token)
        return text

    def _bytes_of(self, token: str) -> bytes | None:
        if self._falls_back and (byte := BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(byte[1])
        if self._byte_level and all(char in BYTES for char in token):
            return bytes(BYTES[char] for char in token)
        written: str = self._written([*self._opening, token])
        _, found, text = written.partition(BEFORE)
        return text.encode() if found else None


def _kinds(decoder: Any) -> set[str]:
    """The types of a decoder, as JSON, and of all within it."""
    own = set[str]()
    if isinstance(decoder, dict):
        parts = cast("dict[str, Any]", decoder)
        own, decoder = {str(parts.get("type"))}, [*parts.values()]
    parts = cast("list[Any]", decoder if isinstance(decoder, list) else [])
    return own.union(*map(_kinds, parts))
