"""Reads a prompt in any of its forms into ids of both vocabularies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

from uag.errors import PromptError
from uag.models.caches.as_generate import neutral_options
from uag.models.prefill import Prefill, kept, placeholders, prepare
from uag.models.properties import device_of
from uag.models.reading import reading_of
from uag.requests.prompts.chat import chat_inputs, is_chat
from uag.requests.prompts.ids import (
    Inputs,
    Prompt,
    assistant_ids,
    beside_ids,
    check_ids,
    padded_rows,
    read_file,
    rows_of,
    target_ids,
)
from uag.translation.bridge import Bridge
from uag.translation.chat_template import template_of, turn_end
from uag.translation.tokenizers import AnyTokenizer


class ReadPrompt(NamedTuple):
    """A prompt in both vocabularies.

    Attributes:
        target_ids, assistant_ids: its ids.
        prefill: what the target reads, if the prompt is more than ids.
        turn: the id that ends a turn, if the prompt is a chat: the reply should end there.
        hint: what the reader found that the user should know; empty if nothing.
    """

    target_ids: list[int]
    assistant_ids: list[int]
    prefill: Prefill | None = None
    turn: int | None = None
    hint: str = ""


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
            inputs, others, hint = chat_inputs(prompt, self._renderer, self.assistant_tokenizer)
            if isinstance(inputs, BatchFeature):  # images in the type of the model, as a pipeline's
                inputs = cast("Inputs", cast("Any", inputs).to(dtype=self.model.dtype))
            turn = turn_end(self.tokenizer)
            return self._inputs(inputs)._replace(assistant_ids=others, turn=turn, hint=hint)
        if isinstance(prompt, Mapping):
            return self._inputs(prompt)
        prompt = read_file(prompt)
        ids = target_ids(prompt, self.tokenizer, self.model)
        given = prompt if isinstance(prompt, str) else ids
        return ReadPrompt(ids, assistant_ids(given, self.assistant_tokenizer, self.bridge))

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
        rows, beside, width = rows_of(inputs), beside_ids(inputs), len(padded_rows(inputs)[0])
        if len(rows) > 1 or (beside and len(rows[0]) < width):
            raise PromptError(
                f"{', '.join(beside) or 'input_ids'}: there are {len(rows)} rows of {width} ids, "
                "padding included; give inputs of one row, which has no padding if it has more "
                "than ids; to generate(), a list of those"
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
