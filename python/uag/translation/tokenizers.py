"""Hugging Face tokenizers: their special tokens, and the ids of a prompt."""

import copy
import sys
from typing import TYPE_CHECKING, Any, cast

import tokenizers
from transformers import PreTrainedTokenizerBase

from uag.errors import UnsupportedTokenizerError
from uag.values import is_text, shown

if TYPE_CHECKING:
    from transformers import ProcessorMixin

AnyTokenizer = PreTrainedTokenizerBase | tokenizers.Tokenizer
# The core's ids have 32 bits.
IDS = 2**32


def is_fast(tokenizer: AnyTokenizer) -> bool:
    """Whether there is a Rust tokenizer inside.

    >>> is_fast(target_tokenizer)
    True
    """
    own = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return isinstance(own, tokenizers.Tokenizer)


def tokenizer_in(given: "AnyTokenizer | ProcessorMixin") -> AnyTokenizer:
    """The tokenizer itself, or that of a processor.

    Raises:
        UnsupportedTokenizerError: for a processor without one.
    """
    # Not imported, as that takes torch: without the module nothing can be a processor.
    processors = sys.modules.get("transformers.processing_utils")
    if processors is None or not isinstance(given, processors.ProcessorMixin):
        return cast("AnyTokenizer", given)
    if (own := getattr(given, "tokenizer", None)) is None:
        raise UnsupportedTokenizerError(
            f"{type(given).__name__} has no tokenizer; give one that reads text"
        )
    return own


def backend_of(tokenizer: AnyTokenizer) -> tokenizers.Tokenizer:
    """The Rust tokenizer inside a fast tokenizer.

    Raises:
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer.
    """
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer
    if not is_fast(tokenizer):
        raise UnsupportedTokenizerError(
            f"{type(tokenizer).__name__} is a slow (Python-only) tokenizer; load the fast one of "
            "its tokenizer.json, PreTrainedTokenizerFast.from_pretrained(...), or convert it"
        )
    return cast("Any", tokenizer).backend_tokenizer


def plain_copy(json: str) -> tokenizers.Tokenizer:
    """A copy that encodes nothing but the given text, and always in the same way.

    It takes special tokens in the text as plain text, and does not truncate, pad or use dropout.
    """
    copy = tokenizers.Tokenizer.from_str(json)
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    if getattr(copy.model, "dropout", None):
        copy.model.dropout = None
    return copy


def is_failure(error: BaseException) -> bool:
    """Whether the `tokenizers` library failed, rather than the program being interrupted.

    A panic in its Rust code is not an `Exception`, and its class can't be imported to name it.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def decoded(tokenizer: tokenizers.Tokenizer, ids: list[int]) -> str:
    """The text of ids, special tokens included; empty if the decoder fails or panics."""
    try:
        return tokenizer.decode(ids, skip_special_tokens=False)
    except BaseException as error:
        if is_failure(error):
            return ""
        raise


def shortens(tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether truncation or padding is switched on, which would change the length of its output."""
    own = cast("Any", tokenizer)
    return own.truncation is not None or own.padding is not None


def unshortened(tokenizer: AnyTokenizer) -> AnyTokenizer:
    """The tokenizer, or a copy of one that would truncate or pad what it encodes.

    >>> unshortened(target_tokenizer) is target_tokenizer
    True

    Raises:
        UnsupportedTokenizerError: for a slow (Python-only) tokenizer.
    """
    if not shortens(backend_of(tokenizer)):
        return tokenizer
    own = copy.deepcopy(tokenizer)
    backend_of(own).no_truncation()
    backend_of(own).no_padding()
    return own


def special_ids(tokenizer: AnyTokenizer) -> set[int]:
    """The ids of special tokens."""
    added = backend_of(tokenizer).get_added_tokens_decoder()
    return {id for id, token in added.items() if token.special}


def tokenizer_end_id(tokenizer: AnyTokenizer) -> int | None:
    """The tokenizer's end-of-text id; `None` if it names none."""
    return cast("int | None", getattr(tokenizer, "eos_token_id", None))


def token_id(tokenizer: AnyTokenizer, token: int | str) -> int:
    """The id of a token that is given by its id or by its content.

    >>> token_id(target_tokenizer, 7), token_id(target_tokenizer, target_tokenizer.eos_token)
    (7, 0)

    Raises:
        UnsupportedTokenizerError: if the tokenizer has no such token.
    """
    if is_text(token):
        found = backend_of(tokenizer).token_to_id(cast("str", token))
    else:
        found = token if isinstance(token, int) and 0 <= token < IDS else None
    if found is None or isinstance(found, bool):
        raise UnsupportedTokenizerError(
            f"the tokenizer has no token {shown(token)}; special_pairs need existing tokens"
        )
    return found


def token_of(tokenizer: AnyTokenizer, id: int) -> str | None:
    """The content of a token; `None` if the tokenizer has no such id.

    >>> token_of(target_tokenizer, 10**9) is None
    True
    """
    return backend_of(tokenizer).id_to_token(id) if 0 <= id < IDS else None


def prompt_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """The ids of a prompt, with the special tokens that the tokenizer adds before and after it.

    What it adds before a text is not added to a text that begins with it, as a rendered chat does.
    """
    ids = _encoded(tokenizer, text)
    if ids.count(ids[0] if ids else 0) > 1:
        before = prefix_ids(tokenizer)
        if before and ids[: 2 * len(before)] == before * 2:
            return ids[len(before) :]
    return ids


def _encoded(tokenizer: AnyTokenizer, text: str) -> list[int]:
    if isinstance(tokenizer, tokenizers.Tokenizer):
        # Whoever shares it may have switched truncation or padding on since it was taken.
        return cast("tokenizers.Tokenizer", unshortened(tokenizer)).encode(text).ids
    encoded = cast("Any", tokenizer)(text)
    read = cast("list[int]", encoded.get("attention_mask", []))
    ids = cast("list[int]", encoded["input_ids"])
    # Another thread that pads with the same tokenizer may have switched that on in the middle.
    return ids if all(read) else [id for id, real in zip(ids, read, strict=True) if real]


def bare_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """The ids of a text without what the tokenizer adds before and after it.

    >>> target_tokenizer.decode(bare_ids(target_tokenizer, "Once upon"))
    'Once upon'
    """
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer.encode(text, add_special_tokens=False).ids
    return cast("list[int]", tokenizer(text, add_special_tokens=False)["input_ids"])


def open_prompt_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """As `prompt_ids`, without what the tokenizer adds after a text: for text that continues."""
    whole = prompt_ids(tokenizer, text)
    _, after = _around(tokenizer)
    return whole[: len(whole) - after]


def prefix_ids(tokenizer: AnyTokenizer) -> list[int]:
    """The ids that the tokenizer adds before a text: usually beginning-of-text, or nothing."""
    before, _ = _around(tokenizer)
    return _encoded(tokenizer, "a")[:before]


def _around(tokenizer: AnyTokenizer) -> tuple[int, int]:
    """How many ids the tokenizer adds before and after a text, found with a short one."""
    whole, bare = _encoded(tokenizer, "a"), bare_ids(tokenizer, "a")
    starts = (start for start in range(len(whole)) if whole[start : start + len(bare)] == bare)
    before = next(starts, 0)
    return before, len(whole) - before - len(bare)
