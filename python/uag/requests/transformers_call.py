"""Checks for `model.generate(..., custom_generate=decoder)`, where transformers calls a decoder.

transformers reads the arguments, prepares processors, criteria and the generation config, and calls
the decoder where it would otherwise call its own loop.
"""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList, PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from uag.errors import OptionError
from uag.limits import SHAPING, check_limits
from uag.models.adapters.acting import Adapters
from uag.models.prefill import CACHES, KINDS, media_in, says
from uag.requests.asked import (
    CHANGING,
    UNSUPPORTED,
    asked_for,
    check_values,
    left_aside,
    refuse,
)

# Inputs that transformers prepares for its own loop, and that are ignored here, but for the mask
# and the check of positions.
PREPARED = {
    "attention_mask",
    "position_ids",
    "use_cache",
    "logits_to_keep",
    "output_attentions",
    "output_hidden_states",
}
# Options of `UNSUPPORTED` that are fine here: a prepared config has them by default, or this method
# supports them.
FINE = {
    "num_return_sequences",  # transformers has repeated the rows
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "return_dict_in_generate",
    "output_scores",
    "output_logits",
}


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """What the `model.generate` that calls a decoder was given itself, and does not pass on.

    Attributes:
        streamer, assistant_model: its arguments of these names.
        options: its other keywords.
        logits_processor, prefix_allowed_tokens_fn: from which it has prepared its processors.
    """

    streamer: BaseStreamer | None = None
    assistant_model: object = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    logits_processor: LogitsProcessorList | None = None
    prefix_allowed_tokens_fn: Any = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `model.generate` has prepared for its own loop.

    Attributes:
        input_ids: `[rows, length]`.
        attention_mask: `[rows, length]`; `None` if no row is padded.
        config: the generation config, with the model's defaults.
        processors: the logits processors that the config and the caller ask for.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    config: GenerationConfig
    processors: LogitsProcessorList

    def supported(self, model: PreTrainedModel, call: GenerateCall) -> "Prepared":
        """The same without what the model's own defaults ask for and is not supported.

        Raises:
            OptionError: for what the caller asks for and is not supported, or is out of range.
        """
        defaults = model.generation_config
        named = {name: value for name, value in call.options.items() if hasattr(self.config, name)}
        asked = asked_for(named, self.config, defaults)
        refuse({name: value for name, value in asked.items() if name not in FINE})
        check_limits({name: value for name, value in asked.items() if name not in SHAPING})
        check_values(model, self.config, asked)
        by_default = UNSUPPORTED.keys() - asked.keys() - FINE
        neutral = left_aside(self.config, by_default)
        return self._with(neutral, model, call) if neutral.keys() & CHANGING else self

    def _with(
        self, options: Mapping[str, Any], model: PreTrainedModel, call: GenerateCall
    ) -> "Prepared":
        """As `generate` would have prepared it with some other options."""
        config = copy.copy(self.config)
        for name, value in options.items():
            setattr(config, name, value)
        if call.logits_processor is None:  # called by hand, with rows and processors as wanted
            return replace(self, config=config)
        # `generate` has repeated each prompt for its beams.
        results = cast("Any", config).num_return_sequences or 1
        copies = max(cast("Any", self.config).num_beams or 1, results)
        rows = torch.arange(len(self.input_ids), device=self.input_ids.device)
        kept = rows[rows % copies < results]
        input_ids = self.input_ids[kept]
        mask = None if self.attention_mask is None else self.attention_mask[kept]
        processors = cast("Any", model)._get_logits_processor(
            config,
            input_ids_seq_length=input_ids.shape[1],
            encoder_input_ids=input_ids,
            prefix_allowed_tokens_fn=call.prefix_allowed_tokens_fn,
            logits_processor=call.logits_processor,
            device=input_ids.device,
            model_kwargs={"attention_mask": mask},
        )
        return Prepared(input_ids, mask, config, processors)


def check_call(
    target: PreTrainedModel,
    model: PreTrainedModel,
    input_ids: Tensor,
    call: GenerateCall,
    streamer: BaseStreamer | None,
    model_kwargs: dict[str, Any],
) -> None:
    """Check that the call is for the decoder's target and has no inputs that would be ignored.

    Args:
        target: the decoder's target.
        model: the model whose `generate` was called.
        input_ids: `[rows, length]`.
        call: arguments of `generate`, see `generate_call`.
        streamer: the streamer that was given to the decoder itself.
        model_kwargs: the inputs that `generate` has prepared for the model.

    Raises:
        OptionError: naming the argument.
    """
    if model is not target:
        raise OptionError(
            f"custom_generate: the decoder was built for a {type(target).__name__} of its own, not "
            f"for this {type(model).__name__}; use decoder.model.generate, or build a decoder for "
            "this model"
        )
    if len(input_ids) > 1 and Adapters(target).by_row:
        raise OptionError(
            "adapter_names: each row is decoded on its own, so it cannot have another adapter than "
            "the next one; give each adapter's prompts in a call of its own, or call generate "
            "without custom_generate"
        )
    if call.streamer is not None and streamer not in (None, call.streamer):
        raise OptionError("streamer: one is given to generate and one to the decoder; give one")
    if call.assistant_model is not None:
        raise OptionError(
            "assistant_model: the decoder has its assistant already; give one of the two"
        )
    _check_inputs(input_ids, model_kwargs)


def _check_inputs(input_ids: Tensor, model_kwargs: dict[str, Any]) -> None:
    media = media_in(model_kwargs)
    for name, value in model_kwargs.items():
        if value is not None and (fault := _fault(name, value, beside=bool(media))):
            raise OptionError(fault)
    if media:
        _check_media(media, input_ids, model_kwargs.get("attention_mask"))
        return
    positions = cast("Tensor | None", model_kwargs.get("position_ids"))
    if positions is not None and not _are_usual(
        positions.to(input_ids.device), input_ids, model_kwargs.get("attention_mask")
    ):
        raise OptionError("position_ids: only the usual ones will do; leave them out")


def _fault(name: str, value: Any, *, beside: bool) -> str:
    """Why an input of the model cannot be ignored, with the remedy; empty if it can.

    `beside`: whether it is beside an image: then the model gets it with its first pass.
    """
    if name in CACHES:
        own = getattr(value, "_is_user_defined", False)
        return f"{name}: a decoder keeps its own caches; leave it out" if own else ""
    if name == "inputs_embeds":
        return "inputs_embeds: a decoder translates ids; give input_ids"
    if beside or name in PREPARED or not says(value):
        return ""
    if name in KINDS:
        return f"{name}: only those of a single text (all 0) will do"
    return f"{name} is not supported with custom_generate; leave it out"


def _check_media(names: list[str], input_ids: Tensor, attention_mask: Tensor | None) -> None:
    """Check that images come with one prompt, without padding."""
    if len(input_ids) > 1:
        raise OptionError(
            f"{names[0]}: images are read one prompt at a time, but there are {len(input_ids)} "
            "rows; give one row, or a list of inputs to decoder.generate"
        )
    if attention_mask is not None and not bool(attention_mask.all()):
        raise OptionError(f"{names[0]}: a prompt with images is read without padding; give it so")


def generate_call(input_ids: Tensor) -> GenerateCall:
    """The call of `model.generate` that made `input_ids`.

    transformers does not pass all of it to a custom method (`_extract_generation_mode_kwargs`), so
    it is read from its stack frame. All is `None` if `model.generate` is not on the stack.
    """
    code = inspect.unwrap(cast("Any", GenerationMixin).generate).__code__
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("input_ids") is input_ids:
            given = frame.f_locals
            return GenerateCall(
                given["streamer"],
                given["assistant_model"],
                given["kwargs"],
                given["logits_processor"],
                given["prefix_allowed_tokens_fn"],
            )
        frame = frame.f_back
    return GenerateCall()


def _are_usual(positions: Tensor, input_ids: Tensor, attention_mask: Tensor | None) -> bool:
    """Whether positions count the ids of each row that are no padding.

    `positions` is `[rows, length]`, `[1, length]`, or one of these for each of several axes: models
    that read images count in height and width too, and all alike in a text.
    """
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    mask = mask.to(input_ids.device).long()
    shape = (*positions.shape[:-2], *input_ids.shape)
    return not bool(((positions.expand(shape) != mask.cumsum(-1) - 1) & mask.bool()).any())
