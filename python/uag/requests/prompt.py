"""Reads a prompt in any of its forms into ids of both vocabularies."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.errors import PromptError
from uag.files import read_text
from uag.models.cached_lm import id_list
from uag.models.properties import context_window, embedding_rows, position_limit
from uag.requests.chat import Chat, chat_ids, is_chat
from uag.translation.bridge import Bridge
from uag.translation.chat_template import Message
from uag.translation.tokenizers import AnyTokenizer, open_prompt_ids, prompt_ids, token_of
from uag.values import is_bool, is_text, listed, shown

# What a tokenizer returns: "input_ids" and "attention_mask".
Inputs = Mapping[str, Any]
Array = np.ndarray[Any, Any]
Prompt = str | Path | list[int] | Tensor | Array | Sequence[Message] | Chat | Inputs
GIVE = "give a text, a chat or a list of target ids; to generate(), also a list of those"
# What else a tokenizer may return, and what says nothing of a single text.
BESIDE = ("attention_mask", "special_tokens_mask", "offset_mapping", "length", "token_type_ids")


def several(prompt: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """The prompts, if `prompt` is a list of prompts; an empty list, if it is a single prompt.

    >>> several(["Once", "One day"]), several([5, 6])
    (['Once', 'One day'], [])
    """
    match prompt:
        case [Chat(), *_]:
            return [*prompt]
        case [str() | list() | tuple() | Tensor() | np.ndarray() | Path(), *_]:
            return [*prompt]
        case [Mapping() as first, *_] if "input_ids" in first:
            return [*cast("Sequence[Inputs]", prompt)]
        case Tensor() | np.ndarray() if _is_batch(prompt):
            return [*cast("Tensor", prompt)[:, None]]
        case Mapping() if _is_batch(prompt.get("input_ids")):
            return [*_rows(prompt)]
        case _:
            return []


def _is_batch(ids: Any) -> bool:
    """Whether these are the ids of several rows; a list of one row counts too, as of prompts."""
    if isinstance(ids, Tensor | np.ndarray):
        return ids.ndim == 2 and cast("Tensor", ids).shape[0] > 1  # noqa: PLR2004 # a matrix
    return isinstance(ids, list) and bool(several(cast("list[Any]", ids)))


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
    prompt = _read(prompt)
    ids = target_ids(prompt, tokenizer, model)
    given = prompt if isinstance(prompt, str) else ids
    return ids, assistant_ids(given, assistant_tokenizer, bridge)


def target_ids(prompt: Prompt, tokenizer: AnyTokenizer, model: PreTrainedModel) -> list[int]:
    """The target's ids: of a text with the special tokens that its tokenizer adds, or as given.

    Raises:
        PromptError: if it is not one prompt, is empty, too long, or has ids outside the vocabulary.
    """
    prompt = _read(prompt)
    if isinstance(prompt, str):
        ids = prompt_ids(tokenizer, _readable(prompt))
    else:
        ids = _given_ids(prompt, model)
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


def _read(prompt: Prompt) -> Prompt:
    return read_text(prompt, "the prompt") if isinstance(prompt, Path) else prompt


def _readable(text: str) -> str:
    if not is_text(text):
        raise PromptError(
            "the prompt has a lone surrogate (half of a character in UTF-16), which no tokenizer "
            'can read; replace it, as text.encode("utf-16", "surrogatepass").decode("utf-16", '
            '"replace") does'
        )
    return text


def _given_ids(prompt: Any, model: PreTrainedModel) -> list[int]:
    if isinstance(prompt, Mapping) and "input_ids" in prompt:
        (ids,) = _rows(cast("Inputs", prompt))
        return ids
    ids = _plain_ids(prompt)
    is_row = isinstance(prompt, Tensor | np.ndarray) and prompt.ndim > 1
    return _without_padding(ids, _mask_of(ids, model)) if is_row else ids


def _plain_ids(given: Any) -> list[int]:
    if isinstance(given, np.ndarray) and cast("Array", given).dtype.kind in "biuf":
        given = torch.as_tensor(given)
    if isinstance(given, Tensor):
        if given.dim() not in (1, 2) or given.shape[:-1].numel() != 1:
            raise PromptError(
                f"the prompt is a tensor of shape {tuple(given.shape)}; give one row of ids"
            )
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
            raise PromptError(f"the prompt is a tensor of {given.dtype}; give ids, as int64")
        return id_list(given.reshape(-1))
    if not isinstance(given, list | tuple):
        raise PromptError(f"the prompt is {_described(cast('object', given))}; {GIVE}")
    for id in cast("list[Any]", given):
        if not isinstance(id, Integral) or is_bool(id):
            raise PromptError(
                f"the prompt is a list with something other than ids in it, {_described(id)}; "
                f"{GIVE}"
            )
    return [*map(int, cast("list[int]", given))]


def _rows(inputs: Inputs) -> list[list[int]]:
    """The ids of each row of what a tokenizer returns, without padding."""
    for name, value in inputs.items():
        ignored = name in BESIDE and not (name == "token_type_ids" and _any(value))
        if name != "input_ids" and not ignored:
            raise PromptError(
                f"the prompt has {name}, and a decoder reads text only; give input_ids and "
                "attention_mask"
            )
    given: Any = inputs["input_ids"]
    mask: Any = inputs.get("attention_mask")
    if not isinstance(given, list | tuple | Tensor | np.ndarray):
        said = _described(cast("object", given))
        raise PromptError(f"the prompt's input_ids are {said}; give ids")
    batch = cast("Any", given)
    several_rows = _is_batch(batch) or getattr(batch, "ndim", 1) > 1
    rows = [*map(_plain_ids, batch if several_rows else [batch])]
    masks = [[True] * len(row) for row in rows]
    if mask is not None:
        try:
            masks = [[bool(each) for each in row] for row in (mask if several_rows else [mask])]
        except TypeError:
            masks = []
    if [*map(len, masks)] != [*map(len, rows)]:
        raise PromptError("the prompt's attention_mask has another shape than its input_ids")
    return [_without_padding(row, mask) for row, mask in zip(rows, masks, strict=True)]


def _any(value: Any) -> bool:
    """Whether nested lists, a tensor or an array have anything but 0."""
    if isinstance(value, list | tuple):
        return any(map(_any, cast("list[Any]", value)))
    return bool((value != 0).any()) if hasattr(value, "any") else bool(value)


def _mask_of(ids: list[int], model: PreTrainedModel) -> list[bool]:
    """Which ids of a row are no padding, as `generate` takes it where no mask is given."""
    config: Any = model.generation_config
    pad, ends = config.pad_token_id, listed(config.eos_token_id)
    known = pad is not None and pad not in ends
    return [not (known and id == pad) for id in ids]


def _without_padding(ids: list[int], mask: list[bool]) -> list[int]:
    start = mask.index(True) if True in mask else len(ids)
    if not all(mask[start:]):
        raise PromptError(
            "a row of the prompt is padded on the right, or within; pad on the left: "
            'tokenizer.padding_side = "left"'
        )
    return ids[start:]


def _described(value: object) -> str:
    """A value of a wrong kind, in English."""
    if value is None:
        return "None"
    kind = type(value).__name__
    article = "an" if kind[0] in "aeiouAEIOU" else "a"
    return f"{article} {kind}, {shown(value)}"
