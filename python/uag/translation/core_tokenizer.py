"""A Hugging Face tokenizer compiled by the core, and checked against the original."""

import warnings
from collections.abc import Callable
from typing import Any, cast

import tokenizers

from uag._core import Tokenizer, UnsupportedTokenizer
from uag.errors import UagWarning
from uag.translation.self_check import disagreement
from uag.translation.tokenizers import AnyTokenizer, backend_of, plain_copy


def core_tokenizer(tokenizer: AnyTokenizer) -> Tokenizer:
    """Compile a tokenizer for the core, and check the result against the tokenizer itself.

    If the two disagree on a text, or the core does not know a part of the tokenizer, the core calls
    the tokenizer to encode: slower, never wrong.

    >>> core = core_tokenizer(target_tokenizer)
    >>> core.fast, core.encode(b"Once") == target_tokenizer.encode("Once")
    (True, True)

    Raises:
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer.
    """
    backend = backend_of(tokenizer)
    json = backend.to_str()
    try:
        core = Tokenizer(json)
    except UnsupportedTokenizer:
        return Tokenizer(json, _encoder(json))
    # Parsing the tokenizer a second time costs up to a second: use the original where possible.
    plain = plain_copy(json) if _shortens(backend) else backend
    if (text := disagreement(core, plain)) is not None:
        warnings.warn(
            f"the fast path disagrees with the tokenizer on {text!r}; "
            "using the tokenizer instead, which is slower",
            UagWarning,
            stacklevel=2,
        )
        return Tokenizer(json, _encoder(json), f"disagrees with the tokenizer on {text!r}")
    return core


def _encoder(json: str) -> Callable[[str], list[tuple[int, int, int]]]:
    """A function that encodes with offsets, and takes special tokens in the text as plain text."""
    copy = plain_copy(json)

    def encode(text: str) -> list[tuple[int, int, int]]:
        encoding = copy.encode(text, add_special_tokens=False)
        return [
            (id, start, end)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    return encode


def _shortens(backend: tokenizers.Tokenizer) -> bool:
    """Whether truncation or padding is switched on, which would change the length of its output."""
    return any(
        setting is not None
        for setting in (cast("Any", backend).truncation, cast("Any", backend).padding)
    )
