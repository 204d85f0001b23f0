"""The ids of prompts that are texts, ids, or what a tokenizer returns."""

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
from uag.models.prefill import says
from uag.models.properties import context_window, embedding_rows, position_limit
from uag.requests.prompts.chat import Chat
from uag.translation.bridge import Bridge
from uag.translation.chat_template import Message
from uag.translation.tokenizers import AnyTokenizer, open_prompt_ids, prompt_ids, token_of
from uag.values import is_bool, is_text, listed, shown

# What a tokenizer or processor returns: "input_ids", "attention_mask", "pixel_values", ...
Inputs = Mapping[str, Any]
Array = np.ndarray[Any, Any]
Prompt = str | Path | list[int] | Tensor | Array | Sequence[Message] | Chat | Inputs
GIVE = "give a text, a chat or a list of target ids; to generate(), also a list of those"
# What a tokenizer may return beside ids that a model does not read.
BESIDE = ("attention_mask", "special_tokens_mask", "offset_mapping", "length")


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
        case Mapping() if not beside_ids(prompt) and _is_batch(prompt.get("input_ids")):
            return [*rows_of(prompt)]
        case _:
            return []


def _is_batch(ids: Any) -> bool:
    """Whether these are the ids of several rows; a list of one row counts too, as of prompts."""
    if isinstance(ids, Tensor | np.ndarray):
        return ids.ndim == 2 and cast("Tensor", ids).shape[0] > 1  # noqa: PLR2004 # a matrix
    return isinstance(ids, list) and bool(several(cast("list[Any]", ids)))


def beside_ids(inputs: Inputs) -> list[str]:
    """Names of inputs that say more than ids and their mask do."""
    usual = ("input_ids", *BESIDE)
    return [name for name, value in inputs.items() if name not in usual and says(value)]


def target_ids(prompt: Prompt, tokenizer: AnyTokenizer, model: PreTrainedModel) -> list[int]:
    """The target's ids: of a text with the special tokens that its tokenizer adds, or as given.

    Raises:
        PromptError: if it is not one prompt, is empty, too long, or has ids outside the vocabulary.
    """
    prompt = read_file(prompt)
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


def read_file(prompt: Prompt) -> Prompt:
    """The text of a file, if the prompt is the path of one; else the prompt."""
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
        (ids,) = rows_of(cast("Inputs", prompt))
        return ids
    ids = _plain_ids(prompt)
    is_row = isinstance(prompt, Tensor | np.ndarray) and prompt.ndim > 1
    return without_padding(ids, _mask_of(ids, model)) if is_row else ids


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


def rows_of(inputs: Inputs) -> list[list[int]]:
    """The ids of each row of what a tokenizer returns, without padding."""
    rows = padded_rows(inputs)
    mask: Any = inputs.get("attention_mask")
    masks = [[True] * len(row) for row in rows]
    if mask is not None:
        one = not _hasrows_of(inputs["input_ids"])
        try:
            masks = [[bool(each) for each in row] for row in ([mask] if one else mask)]
        except TypeError:
            masks = []
    if [*map(len, masks)] != [*map(len, rows)]:
        raise PromptError("the prompt's attention_mask has another shape than its input_ids")
    return [without_padding(row, mask) for row, mask in zip(rows, masks, strict=True)]


def padded_rows(inputs: Inputs) -> list[list[int]]:
    """The ids of each row of what a tokenizer returns."""
    given: Any = inputs.get("input_ids")
    if given is None:
        raise PromptError(
            f"the prompt has no input_ids, but {', '.join(map(shown, inputs))}; give what a "
            "tokenizer or processor returns"
        )
    if not isinstance(given, list | tuple | Tensor | np.ndarray):
        raise PromptError(f"the prompt's input_ids are {_described(given)}; give ids")
    rows = cast("list[Any]", given if _hasrows_of(given) else [given])
    return [*map(_plain_ids, rows)]


def _hasrows_of(ids: Any) -> bool:
    return _is_batch(ids) or getattr(ids, "ndim", 1) > 1


def _mask_of(ids: list[int], model: PreTrainedModel) -> list[bool]:
    """Which ids of a row are no padding, as `generate` takes it where no mask is given."""
    config: Any = model.generation_config
    pad, ends = config.pad_token_id, listed(config.eos_token_id)
    known = pad is not None and pad not in ends
    return [not (known and id == pad) for id in ids]


def without_padding(
    ids: list[int], mask: Sequence[bool], row: str = "a row of the prompt"
) -> list[int]:
    """The ids of a row of a batch, from the first one on that is no padding by its `mask`.

    Raises:
        PromptError: for a `row`, called that, which is not padded on the left.
    """
    start = mask.index(True) if True in mask else len(ids)
    if not all(mask[start:]):
        raise PromptError(
            f"{row} is padded on the right, or within; pad on the left: "
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
