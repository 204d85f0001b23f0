"""Reads a prompt in any of its forms into ids of both vocabularies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

from uag.errors import PromptError
from uag.models.cached_lm import id_list
from uag.models.caches.as_generate import neutral_options
from uag.models.prefill import Prefill, kept, placeholders, prepare, says
from uag.models.properties import context_window, device_of, embedding_rows, position_limit
from uag.models.reading import reading_of
from uag.requests.chat import Chat, chat_inputs, is_chat
from uag.translation.bridge import Bridge
from uag.translation.chat_template import Message, template_of
from uag.translation.tokenizers import AnyTokenizer, open_prompt_ids, prompt_ids, token_of
from uag.values import is_text, shown

# What a tokenizer or processor returns: "input_ids", "attention_mask", "pixel_values", ...
Inputs = Mapping[str, Any]
Prompt = str | list[int] | Tensor | Sequence[Message] | Chat | Inputs


def several(prompt: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """The prompts, if `prompt` is a list of prompts; an empty list, if it is a single prompt.

    >>> several(["Once", "One day"]), several([5, 6])
    (['Once', 'One day'], [])
    """
    match prompt:
        case [Chat(), *_]:
            return [*prompt]
        case [str() | list() | tuple() | Tensor(), *_]:
            return [*prompt]
        case [Mapping() as first, *_] if "input_ids" in first:
            return [*cast("Sequence[Inputs]", prompt)]
        case Mapping() if not _beside_ids(prompt):
            rows = _rows(prompt)
            return [*rows] if len(rows) > 1 else []
        case _:
            return []


class ReadPrompt(NamedTuple):
    """A prompt in both vocabularies; `prefill`: what the target reads, if it is more than ids."""

    target_ids: list[int]
    assistant_ids: list[int]
    prefill: Prefill | None = None


@dataclass(frozen=True, slots=True)
class PromptReader:
    """Reads prompts of one target, for itself and for an assistant.

    Attributes:
        model, tokenizer: the target's.
        assistant_tokenizer: the assistant's.
        bridge: the translation between both vocabularies.
        processor: the target's, which reads chats with images; `None` if it was not given.
    """

    model: PreTrainedModel
    tokenizer: AnyTokenizer
    assistant_tokenizer: AnyTokenizer
    bridge: Bridge
    processor: ProcessorMixin | None = None

    def read(self, prompt: Prompt) -> ReadPrompt:
        """A prompt in both vocabularies.

        Raises:
            PromptError: if it is not one prompt, is empty, too long, has ids outside the
                vocabulary, or is one that the target cannot read.
        """
        if is_chat(prompt):
            inputs, others = chat_inputs(prompt, self._renderer, self.assistant_tokenizer)
            if isinstance(inputs, BatchFeature):  # images in the type of the model, as a pipeline's
                inputs = cast("Inputs", cast("Any", inputs).to(dtype=self.model.dtype))
            return ReadPrompt(*self._inputs(inputs)._replace(assistant_ids=others))
        if isinstance(prompt, Mapping):
            return self._inputs(prompt)
        ids = target_ids(prompt, self.tokenizer, self.model)
        if isinstance(prompt, str):
            return ReadPrompt(ids, open_prompt_ids(self.assistant_tokenizer, prompt))
        return ReadPrompt(ids, self.bridge.assistant_prompt(ids))

    def prepared(self, ids: list[int], prefill: Prefill | None) -> ReadPrompt:
        """A prompt that `generate` has prepared. The assistant gets no placeholders of images."""
        marks = frozenset[int]() if prefill is None else placeholders(self.model)
        others = self.bridge.assistant_prompt([id for id in ids if id not in marks])
        return ReadPrompt(ids, others, prefill)

    @property
    def _renderer(self) -> AnyTokenizer | ProcessorMixin:
        """What renders chats: the processor, unless only its tokenizer has a template."""
        own = self.processor
        if own is None or (template_of(own) is None and template_of(self.tokenizer) is not None):
            return self.tokenizer
        return own

    def _inputs(self, inputs: Inputs) -> ReadPrompt:
        rows, beside = _rows(inputs), _beside_ids(inputs)
        if len(rows) > 1 or (beside and len(rows[0]) < _width(inputs)):
            raise PromptError(
                f"{', '.join(beside) or 'input_ids'}: there are {len(rows)} rows of "
                f"{_width(inputs)} ids, padding included; give inputs of one row, which has no "
                "padding if it has more than ids; to generate(), a list of those"
            )
        if not beside:
            return self.prepared(target_ids(rows[0], self.tokenizer, self.model), None)
        check_ids(rows[0], self.model, self.tokenizer)
        device = device_of(self.model)
        given = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in inputs.items()
        }
        given["input_ids"] = torch.tensor(rows, device=device)
        with reading_of(self.model).turn(None, alone=True), kept(self.model):
            prefill = prepare(self.model, given, neutral_options(self.model))
        return self.prepared(rows[0], prefill)


def _beside_ids(inputs: Inputs) -> list[str]:
    """Names of inputs that say more than ids and their mask do."""
    usual = ("input_ids", "attention_mask")
    return [name for name, value in inputs.items() if name not in usual and says(value)]


def _width(inputs: Inputs) -> int:
    return max(map(len, _each(inputs["input_ids"])))


def _rows(inputs: Inputs) -> list[list[int]]:
    """The ids of each row of inputs, without their padding."""
    given = inputs.get("input_ids")
    if given is None:
        raise PromptError(
            f"the prompt has no input_ids, but {', '.join(map(shown, inputs))}; give what a "
            "tokenizer or processor returns"
        )
    rows = _each(given)
    masks = _each(inputs.get("attention_mask")) or [None] * len(rows)
    return [
        without_padding(at, torch.tensor(_given_ids(_plain(row)), dtype=torch.long), mask)
        for at, (row, mask) in enumerate(zip(rows, masks, strict=True))
    ]


def _each(batch: Any) -> list[Any]:
    """The rows of a batch, or the only row; empty for `None`."""
    if batch is None:
        return []
    several = len(batch) > 0 and not isinstance(batch[0], int) and getattr(batch[0], "ndim", 1) > 0
    return [*batch] if several else [batch]


def _plain(row: Any) -> Any:
    """A row of ids as a list or tensor: numpy's arrays are shared as tensors."""
    known = isinstance(row, list | tuple | Tensor)
    return cast("Any", row) if known else torch.as_tensor(row)


def without_padding(row: int, ids: Tensor, mask: Tensor | None) -> list[int]:
    """The ids of a row of a batch, from the first one on that is no padding by its `mask`.

    Raises:
        PromptError: for a row that is not padded on the left.
    """
    if mask is None:
        return id_list(ids)
    real = torch.as_tensor(mask).bool().to(ids.device)
    start = len(ids) - int(real.sum())
    if not bool(real[start:].all()):
        raise PromptError(
            f"row {row} of the batch is padded on the right, or within; "
            'pad on the left: tokenizer.padding_side = "left"'
        )
    return id_list(ids[start:])


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
        isinstance(id, int) and not isinstance(id, bool) for id in cast("list[Any]", given)
    ):
        raise PromptError(
            f"the prompt is a {type(prompt).__name__} of something other than ids; give a text, a "
            "chat or a list of target ids; to generate(), also a list of those"
        )
    return [*cast("list[int]", given)]
