"""Checks for `model.generate(..., custom_generate=decoder)`, where transformers calls a decoder.

transformers reads the arguments, prepares processors, criteria and the generation config, and calls
the decoder where it would otherwise call its own loop.
"""

import inspect
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from uag.errors import OptionError
from uag.limits import check_limits
from uag.requests.options import UNSUPPORTED, refuse

# Inputs that transformers prepares for its own loop, and that are ignored here, but for the mask
# and the check of positions.
PREPARED = {"attention_mask", "position_ids", "use_cache", "logits_to_keep"}
CACHES = {"past_key_values", "cache_params", "cache"}
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


def check_config(model: PreTrainedModel, config: GenerationConfig) -> None:
    """Check that the config asks for nothing but greedy decoding or sampling.

    Raises:
        OptionError: for an option that is out of range or not supported.
    """
    if cast("Any", config).do_sample:
        check_limits({name: getattr(config, name, None) for name in vars(config)})
    for name in UNSUPPORTED:
        value = getattr(config, name, None)
        # A model may ask for a kind of cache itself; the decoder has caches of its own anyway.
        by_default = value == getattr(model.generation_config, name, None)
        if name not in FINE and not (name == "cache_implementation" and by_default):
            refuse(name, value)


def check_call(
    target: PreTrainedModel,
    model: PreTrainedModel,
    input_ids: Tensor,
    call: dict[str, Any],
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
    callers_streamer = call.get("streamer")
    if callers_streamer is not None and streamer not in (None, callers_streamer):
        raise OptionError("streamer: one is given to generate and one to the decoder; give one")
    if call.get("assistant_model") is not None:
        raise OptionError(
            "assistant_model: the decoder has its assistant already; give one of the two"
        )
    _check_inputs(input_ids, model_kwargs)


def _check_inputs(input_ids: Tensor, model_kwargs: dict[str, Any]) -> None:
    for name, value in model_kwargs.items():
        if name in CACHES:
            if getattr(value, "_is_user_defined", False):
                raise OptionError(f"{name}: a decoder keeps its own caches; leave it out")
        elif name == "inputs_embeds":
            raise OptionError("inputs_embeds: a decoder translates ids; give input_ids")
        elif name == "token_type_ids":
            if value is not None and bool(value.any()):
                raise OptionError("token_type_ids: only those of a single text (all 0) will do")
        elif name not in PREPARED and value is not None:
            raise OptionError(f"{name} is not supported with custom_generate; leave it out")
    positions = model_kwargs.get("position_ids")
    if positions is not None and not torch.equal(
        positions.to(input_ids.device).expand(input_ids.shape),
        _usual_positions(input_ids, model_kwargs.get("attention_mask")),
    ):
        raise OptionError("position_ids: only the usual ones will do; leave them out")


def generate_call(input_ids: Tensor) -> dict[str, Any]:
    """The arguments `streamer` and `assistant_model` of the `model.generate` that made `input_ids`.

    transformers does not pass them to a custom method (`_extract_generation_mode_kwargs`), so they
    are read from its stack frame. Empty if `model.generate` is not on the stack.
    """
    code = inspect.unwrap(cast("Any", GenerationMixin).generate).__code__
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("input_ids") is input_ids:
            return {name: frame.f_locals[name] for name in ("streamer", "assistant_model")}
        frame = frame.f_back
    return {}


def _usual_positions(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
    mask = attention_mask.to(input_ids.device).long()
    return (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
