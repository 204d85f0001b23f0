"""The core's reading of a Hugging Face tokenizer, checked against it."""

import warnings
from collections.abc import Callable
from typing import Any, cast

import tokenizers

from uag import _core
from uag.errors import UagWarning
from uag.translation.self_check import disagreement
from uag.translation.tokenizers import AnyTokenizer, backend_of, plain_copy


def core_tokenizer(tokenizer: AnyTokenizer) -> _core.Tokenizer:
    """The core's reading of a tokenizer, checked against the tokenizer itself.

    Where the two disagree on a text, the core works through the tokenizer instead: slower, never
    wrong.

    Raises:
        UnsupportedTokenizerError: for a tokenizer that only exists in Python.
    """
    backend = backend_of(tokenizer)
    json = backend.to_str()
    try:
        core = _core.Tokenizer(json)
    except _core.UnsupportedTokenizer:
        return _core.Tokenizer(json, _encoder(json))
    # Reading the tokenizer a second time costs up to a second: the original answers if it may.
    plain = plain_copy(json) if _shortens(backend) else backend
    if (text := disagreement(core, plain)) is not None:
        warnings.warn(
            f"the fast path disagrees with the tokenizer on {text!r}; "
            "going through the tokenizer, which is slower",
            UagWarning,
            stacklevel=2,
        )
        return _core.Tokenizer(json, _encoder(json), f"disagrees with the tokenizer on {text!r}")
    return core


def _encoder(json: str) -> Callable[[str], list[tuple[int, int, int]]]:
    """Plain encoding with offsets, through a copy that parses no special tokens in the text."""
    copy = plain_copy(json)

    def encode(text: str) -> list[tuple[int, int, int]]:
        encoding = copy.encode(text, add_special_tokens=False)
        return [
            (id, start, end)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    return encode


def _shortens(backend: tokenizers.Tokenizer) -> bool:
    return any(
        setting is not None
        for setting in (cast("Any", backend).truncation, cast("Any", backend).padding)
    )
