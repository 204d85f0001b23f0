"""Reads a prompt in any of its forms into ids of both vocabularies."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, cast

import torch
from numpy import ndarray
from torch import Tensor
from transformers import PreTrainedModel

from uag.errors import PromptError
from uag.models.cached_lm import id_list
from uag.models.properties import context_window, embedding_rows, position_limit
from uag.requests.chat import Chat, chat_ids, is_chat
from uag.translation.bridge import Bridge
from uag.translation.chat_template import Message
from uag.translation.tokenizers import AnyTokenizer, open_prompt_ids, prompt_ids, token_of
from uag.values import is_bool, is_text, shown

Prompt = str | list[int] | Tensor | ndarray[Any, Any] | Sequence[Message] | Chat


def several(prompt: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """The prompts, if `prompt` is a list of prompts; an empty list, if it is a single prompt.

    >>> several(["Once", "One day"]), several([5, 6])
    (['Once', 'One day'], [])
    """
    match prompt:
        case [Chat(), *_]:
            return [*prompt]
        case [str() | list() | tuple() | Tensor() | ndarray(), *_]:
            return [*prompt]
        case _:
            return []


def read_prompt(
    prompt: Prompt,
    model: PreTrainedModel,
    tokenizer: AnyTokenizer,
    assistant_tokenizer: AnyTokenizer,
    bridge: Bridge,
) -> tuple[list[int], list[int]]:
    """A prompt in both vocabularies: the target's ids, and the assistant's ids.

    Raises:
        PromptError: if it is not one prompt, is empty, too long, or has ids outside the vocabulary.
    """
    if is_chat(prompt):
        ids, others = chat_ids(prompt, tokenizer, assistant_tokenizer)
        check_ids(ids, model, tokenizer)
        return ids, others
    ids = target_ids(prompt, tokenizer, model)
    given = prompt if isinstance(prompt, str) else ids
    return ids, assistant_ids(given, assistant_tokenizer, bridge)


def target_ids(prompt: Prompt, tokenizer: AnyTokenizer, model: PreTrainedModel) -> list[int]:
    """The target's ids: of a text with the special tokens that its tokenizer adds, or as given.

    Raises:
        PromptError: if it is not one prompt, is empty, too long, or has ids outside the vocabulary.
    """
    if isinstance(prompt, str):
        ids = prompt_ids(tokenizer, _readable(prompt))
    else:
        ids = _given_ids(prompt)
    check_ids(ids, model, tokenizer)
    return ids


def assistant_ids(prompt: str | list[int], tokenizer: AnyTokenizer, bridge: Bridge) -> list[int]:
    """The assistant's ids for a prompt, a text or target ids, with its own beginning-of-text id."""
    if isinstance(prompt, str):
        return open_prompt_ids(tokenizer, prompt)
    return bridge.assistant_prompt(prompt)


def check_ids(
    ids: list[int], model: PreTrainedModel, tokenizer: AnyTokenizer | None = None
) -> None:
    """Check that the target can read a prompt; `tokenizer` is to name tokens.

    Raises:
        PromptError: if it is empty, too long, or has ids outside the model's vocabulary.
    """
    if not ids:
        raise PromptError(
            "the prompt is empty and the tokenizer adds nothing to it; give at least one token"
        )
    rows, window = embedding_rows(model), context_window(model)
    if (bad := next((id for id in ids if not 0 <= id < rows), None)) is not None:
        token = None if tokenizer is None else token_of(tokenizer, bad)
        named = "" if token is None else f" (the token {shown(token)})"
        raise PromptError(
            f"the prompt has id {shown(bad)}{named}, but the target's ids go from 0 to {rows - 1}"
        )
    # Look for a table of positions only where its end is near: that takes a while.
    limit = None if window is None or len(ids) < window // 2 else position_limit(model)
    if limit is not None and len(ids) >= limit:
        raise PromptError(
            f"the prompt has {len(ids)} ids, but the target's window is {limit} "
            "and must hold new ids too; shorten it"
        )


def _readable(text: str) -> str:
    if not is_text(text):
        raise PromptError(
            "the prompt has a lone surrogate (half of a character in UTF-16), which no tokenizer "
            'can read; replace it, as text.encode("utf-16", "surrogatepass").decode("utf-16", '
            '"replace") does'
        )
    return text


def _given_ids(prompt: Prompt) -> list[int]:
    if isinstance(prompt, ndarray):
        prompt = _tensor(prompt)
    if isinstance(prompt, Tensor):
        if prompt.dim() not in (1, 2) or prompt.shape[:-1].numel() != 1:
            raise PromptError(
                f"the prompt is a tensor of shape {tuple(prompt.shape)}; give one row of ids"
            )
        if prompt.is_floating_point() or prompt.is_complex() or prompt.dtype == torch.bool:
            raise PromptError(f"the prompt is a tensor of {prompt.dtype}; give ids, as int64")
        return id_list(prompt.reshape(-1))
    given: Any = prompt
    if not isinstance(given, list | tuple) or not all(
        isinstance(id, Integral) and not is_bool(id) for id in cast("list[Any]", given)
    ):
        raise PromptError(
            f"the prompt is a {type(prompt).__name__} of something other than ids; give a text, a "
            "chat or a list of target ids; to generate(), also a list of those"
        )
    return [int(id) for id in cast("list[int]", given)]


def _tensor(ids: "ndarray[Any, Any]") -> Tensor:
    try:
        return torch.as_tensor(ids)
    except TypeError as error:
        raise PromptError(
            f"the prompt is an array of {ids.dtype}; give a text, or ids as int64"
        ) from error
