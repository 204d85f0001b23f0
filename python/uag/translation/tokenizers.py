"""Hugging Face tokenizers: what they hold, and the ids of a prompt."""

from typing import cast

import tokenizers
from transformers import (
    PreTrainedTokenizerBase,
)

from uag.errors import UnsupportedTokenizerError

AnyTokenizer = PreTrainedTokenizerBase | tokenizers.Tokenizer


def backend_of(tokenizer: AnyTokenizer) -> tokenizers.Tokenizer:
    """The Rust tokenizer inside a fast tokenizer.

    Raises:
        UnsupportedTokenizerError: if there is none.
    """
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        raise UnsupportedTokenizerError(
            f"{type(tokenizer).__name__} is a slow (Python-only) tokenizer; "
            "load or convert it to a fast one (a tokenizer.json)"
        )
    return backend


def plain_copy(json: str) -> tokenizers.Tokenizer:
    """A copy that encodes a text by itself, alike every time.

    To it special tokens in the text are text; nothing is cut off, padded or left to chance.
    """
    copy = tokenizers.Tokenizer.from_str(json)
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    if getattr(copy.model, "dropout", None):
        copy.model.dropout = None
    return copy


def special_ids(tokenizer: AnyTokenizer) -> set[int]:
    """The ids of special tokens."""
    added = backend_of(tokenizer).get_added_tokens_decoder()
    return {id for id, token in added.items() if token.special}


def tokenizer_end_id(tokenizer: AnyTokenizer) -> int | None:
    """The tokenizer's end-of-text id, where it names one."""
    return cast("int | None", getattr(tokenizer, "eos_token_id", None))


def token_id(tokenizer: AnyTokenizer, token: int | str) -> int:
    """The id of a token given by id or by its content.

    Raises:
        UnsupportedTokenizerError: if the tokenizer has no such token.
    """
    found = token if isinstance(token, int) else backend_of(tokenizer).token_to_id(token)
    if found is None:
        raise UnsupportedTokenizerError(
            f"the tokenizer has no token {token!r}; special_pairs need existing tokens"
        )
    return found


def prompt_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """The ids a model reads for a prompt, with whatever its tokenizer puts around a text."""
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer.encode(text).ids
    return cast("list[int]", tokenizer(text)["input_ids"])


def open_prompt_ids(tokenizer: AnyTokenizer, text: str) -> list[int]:
    """As `prompt_ids`, without what the tokenizer puts after a text: more text follows."""
    whole = prompt_ids(tokenizer, text)
    _, after = _around(tokenizer)
    return whole[: len(whole) - after]


def prefix_ids(tokenizer: AnyTokenizer) -> list[int]:
    """What the tokenizer puts before a text: beginning-of-text, usually, or nothing."""
    before, _ = _around(tokenizer)
    return prompt_ids(tokenizer, "a")[:before]


def _around(tokenizer: AnyTokenizer) -> tuple[int, int]:
    """How many ids the tokenizer puts before and after a text: seen on a short one."""
    whole = prompt_ids(tokenizer, "a")
    if isinstance(tokenizer, tokenizers.Tokenizer):
        bare = tokenizer.encode("a", add_special_tokens=False).ids
    else:
        bare = cast("list[int]", tokenizer("a", add_special_tokens=False)["input_ids"])
    starts = (start for start in range(len(whole)) if whole[start : start + len(bare)] == bare)
    before = next(starts, 0)
    return before, len(whole) - before - len(bare)
