"""A Hugging Face tokenizer compiled by the core, and checked against the original."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from json import dumps, loads
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import tokenizers

from uag._core import Tokenizer
from uag.errors import UagWarning, UnsupportedTokenizerError
from uag.translation.detokenizer import OWN_TEXT
from uag.translation.self_check import STRESS_TEXTS, disagreement, ids_of
from uag.translation.tokenizers import AnyTokenizer, backend_of, is_failure, plain_copy, shortens

# Kinds of models that the core has a name for.
FAMILIES = ("BPE", "Unigram", "WordPiece", "WordLevel")


def core_tokenizer(tokenizer: AnyTokenizer) -> Tokenizer:
    """The core's form of a tokenizer, compiled once, and checked against the tokenizer itself.

    It is kept as long as the tokenizer; one with the same content, or with tokens that were added
    meanwhile, is compiled only if it is another one.

    If the two disagree on a text, or the core does not know a part of the tokenizer, the core calls
    the tokenizer to encode: slower, never wrong. If it does not know the decoder, the bytes of each
    token are what the decoder writes for it after another token, as `Tokenizer.reason` tells.

    >>> core = core_tokenizer(target_tokenizer)
    >>> core.fast, core.encode(b"Once") == target_tokenizer.encode("Once")
    (True, True)

    Raises:
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer, or one with ids far beyond
            its tokens.
    """
    backend = backend_of(tokenizer)
    with _COMPILING:
        # First: if another thread changes the tokenizer from here on, the next call sees it.
        signs = _signs(backend)
        known = _KNOWN.get(backend)
        if known is None or known.signs != signs:
            known = _KNOWN[backend] = _compiled(backend, signs)
        return known.core


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A compiled tokenizer, the digest of its content, and signs that it has not changed since."""

    core: Tokenizer
    digest: bytes
    signs: tuple[Any, ...]


_KNOWN: WeakKeyDictionary[tokenizers.Tokenizer, _Compiled] = WeakKeyDictionary()
_COMPILING = RLock()
# What may be set on a model of the `tokenizers` library without replacing it.
SETTINGS = (
    *("dropout", "unk_token", "unk_id", "fuse_unk", "byte_fallback", "ignore_merges"),
    *("continuing_subword_prefix", "end_of_word_suffix", "max_input_chars_per_word"),
)
# How many tokens are among the signs.
SAMPLE = 256


def _signs(backend: tokenizers.Tokenizer) -> tuple[Any, ...]:
    """What tells whether a tokenizer has changed, in a few milliseconds.

    Its content, as `to_str` writes it, takes up to a second. These are all of its parts but the
    model; the model's settings, every so-many-th of its tokens, and its ids of some texts.
    """
    parts: list[Any] = [backend.normalizer, backend.pre_tokenizer, backend.decoder]
    model: Any = backend.model
    size = backend.get_vocab_size()
    return (
        *(None if part is None else part.__getstate__() for part in parts),
        *(getattr(model, name, None) for name in SETTINGS),
        type(model).__name__,
        size,
        *map(str, backend.get_added_tokens_decoder().items()),
        *map(backend.id_to_token, range(0, size, max(1, size // SAMPLE))),
        *(ids_of(backend, text) for text in STRESS_TEXTS),
    )


def _compiled(backend: tokenizers.Tokenizer, signs: tuple[Any, ...]) -> _Compiled:
    json = backend.to_str()
    digest = sha256(json.encode()).digest()
    same = (each.core for each in _KNOWN.values() if each.digest == digest)
    return _Compiled(next(same, None) or _checked(backend, json), digest, signs)


def _checked(backend: tokenizers.Tokenizer, json: str) -> Tokenizer:
    try:
        core = Tokenizer(json)
    except ValueError:
        return _through_the_tokenizer(json)
    # Parsing the tokenizer a second time costs up to a second: use the original where possible.
    # Another thread may switch padding on meanwhile: a copy has the last word.
    text = None if shortens(backend) else disagreement(core, backend)
    if text is not None or shortens(backend):
        text = disagreement(core, plain_copy(json))
    if text is not None:
        warnings.warn(
            f"the fast path disagrees with the tokenizer on {text!r}; "
            "using the tokenizer instead, which is slower",
            UagWarning,
            stacklevel=4,
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


def _through_the_tokenizer(json: str) -> Tokenizer:
    try:
        return Tokenizer(json, _encoder(json))
    except ValueError as error:  # a part that the core does not know, or cannot read at all
        reason = f"{OWN_TEXT} ({error})"
    try:
        return Tokenizer(_spelled(json), _encoder(json), reason)
    except ValueError as error:
        raise UnsupportedTokenizerError(f"the tokenizer cannot be used: {error}") from error


def _spelled(json: str) -> str:
    """The tokenizer for the core, with each token spelled as its own decoder writes it.

    A token is decoded after another one, as it stands in a text. Tokens without a text of their
    own, such as a part of a character, carry none.
    """
    own = plain_copy(json)
    given: dict[str, Any] = loads(json)
    vocabulary, added = own.get_vocab(), own.get_added_tokens_decoder()
    special = {id for id, token in added.items() if token.special}
    special.add(vocabulary.get(str(given["model"].get("unk_token")), -1))
    texts = _texts(own, [*vocabulary.values()])
    tokens = [
        {"id": id, "content": text, "special": id in special}
        for id, text in zip(vocabulary.values(), texts, strict=True)
    ]
    # What joins tokens by spaces writes none at the start, as WordPiece's decoder does.
    joins = all(text.startswith(" ") for text in texts if text)
    kind = given["model"].get("type")
    return dumps(
        {
            "added_tokens": tokens,
            "decoder": {"type": "WordPiece" if joins else "BPEDecoder"},
            "model": {
                "type": kind if kind in FAMILIES else "WordLevel",
                "vocab": [] if kind == "Unigram" else {},
            },
        }
    )


def _texts(own: tokenizers.Tokenizer, ids: list[int]) -> list[str]:
    """What the decoder writes for each token after others; nothing for any if it fails."""
    plain = sorted(id for token, id in own.get_vocab().items() if token.isalnum())[:2]
    # Not after itself: a decoder may drop repeated tokens (CTC).
    before = [plain[::-1] if [id] == plain[-1:] else plain for id in ids]
    after = [[*each, id] for each, id in zip(before, ids, strict=True)]
    try:
        openings, wholes = (
            own.decode_batch(each, skip_special_tokens=False) for each in (before, after)
        )
    except BaseException as error:
        if is_failure(error):
            return [""] * len(ids)
        raise
    rests = (
        whole.removeprefix(opening) if whole.startswith(opening) else ""
        for opening, whole in zip(openings, wholes, strict=True)
    )
    return ["" if "\ufffd" in rest else rest for rest in rests]
