"""Generation options, which have transformers' names and are interpreted by its own code."""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessorList,
    MaxLengthCriteria,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from uag.decoding.stopping import Stop
from uag.errors import OptionError, UagWarning, warn_once
from uag.limits import check_limits
from uag.models.properties import context_window, device_of, has_learned_positions
from uag.sampling.coupled import DraftShape
from uag.translation.tokenizers import AnyTokenizer

# Arguments of `model.generate` that are not in its GenerationConfig.
EXTRA = ("generation_config", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn")
# Arguments of `SpeculativeDecoder.generate` itself.
OF_GENERATE = ("num_return_sequences", "seed", "batch_size", "streamer", "trace")
# Options that are not supported: the values that are accepted, and what to do instead.
UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "num_beams": ((None, 1), "beam search is not supported; leave it out"),
    "num_return_sequences": ((None, 1), "give it to generate() itself"),
    "guidance_scale": ((None, 1, 1.0), "classifier-free guidance is not supported"),
    "penalty_alpha": ((None, 0, 0.0), "contrastive search is not supported"),
    "dola_layers": ((None,), "DoLa decoding is not supported"),
    "prompt_lookup_num_tokens": (
        (None,),
        'build the decoder with assistant="lookup", or lookup=True beside an assistant',
    ),
    "assistant_early_exit": ((None,), "early-exit drafts are not supported"),
    "num_assistant_tokens": ((None,), "give lookahead= to the decoder instead"),
    "num_assistant_tokens_schedule": ((None,), "give lookahead= to the decoder instead"),
    "token_healing": ((None, False), "token healing is not supported"),
    "cache_implementation": ((None, "dynamic"), "only the dynamic cache can be rolled back"),
    "use_cache": ((None, True), "decoding needs the cache"),
    "return_dict_in_generate": ((None, False), "the result is always an Output"),
    "output_scores": ((None, False), "scores are not returned"),
    "output_logits": ((None, False), "logits are not returned"),
    "output_attentions": ((None, False), "attentions are not returned"),
    "output_hidden_states": ((None, False), "hidden states are not returned"),
}
# Those that a model's own generation defaults may set: these values replace them, with a warning.
QUIETLY_NEUTRAL: dict[str, Any] = {"num_beams": 1, "num_return_sequences": 1}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to generate from one prompt: the options in the form that decoding needs.

    Attributes:
        processors: transformers' logits processors and the caller's, in transformers' order.
        stop: where the generation ends.
        sampling: how the distribution is shaped for sampling; `None` for greedy decoding.
    """

    processors: LogitsProcessorList
    stop: Stop
    sampling: DraftShape | None


def plan_generation(
    model: PreTrainedModel, tokenizer: AnyTokenizer, prompt: list[int], options: dict[str, Any]
) -> Plan:
    """Read the options as `model.generate` would, with the model's own generation defaults.

    Raises:
        OptionError: for a name or value that is unknown, out of range or not supported.
    """
    _check(options)
    config, extra = _configure(model, prompt, options)
    ids = torch.tensor([prompt], device=device_of(model))
    try:
        processors = cast("Any", model)._get_logits_processor(
            config,
            input_ids_seq_length=len(prompt),
            encoder_input_ids=ids,
            prefix_allowed_tokens_fn=extra.get("prefix_allowed_tokens_fn"),
            logits_processor=extra.get("logits_processor"),
            device=device_of(model),
            model_kwargs={},
        )
        criteria = cast("Any", model)._get_stopping_criteria(
            config, extra.get("stopping_criteria", StoppingCriteriaList()), tokenizer
        )
    except ValueError as error:
        raise OptionError(str(error)) from error
    return plan_prepared(model, config, processors, criteria, len(prompt), ids.device)


def plan_prepared(
    model: PreTrainedModel,
    config: GenerationConfig,
    processors: LogitsProcessorList,
    criteria: Sequence[StoppingCriteria],
    length: int,
    device: torch.device,
    padding: int = 0,
    scores: Sequence[torch.Tensor] | None = None,
) -> Plan:
    """The plan for processors and criteria that transformers has prepared.

    `length` is that of the prompt without padding; the criteria count `padding` ids more. `device`
    and `scores` are for `Stop`.
    """
    # Exactly these classes: a subclass may end a text elsewhere.
    longest = [
        cast("int", cast("Any", criterion).max_length)
        for criterion in criteria
        if type(criterion) is MaxLengthCriteria
    ]
    ends = [
        cast("Any", criterion).eos_token_id.tolist()
        for criterion in criteria
        if type(criterion) is EosTokenCriteria
    ]
    return Plan(
        processors,
        sampling=_shape(config) if cast("Any", config).do_sample else None,
        stop=Stop(
            # A criterion that the prompt meets already ends the generation after one new id.
            max_length=_within_window(model, max(min(longest) - padding, length + 1)),
            end_ids=frozenset(id for ids in ends for id in ids),
            # `Stop` checks length and end ids itself: these criteria need a tensor for each id.
            criteria=[
                criterion
                for criterion in criteria
                if type(criterion) not in (MaxLengthCriteria, EosTokenCriteria)
            ],
            device=device,
            scores=scores,
        ),
    )


def is_option(name: str) -> bool:
    """Whether a name is an option of generation.

    >>> is_option("top_p"), is_option("enable_thinking")
    (True, False)
    """
    return name in EXTRA or name in OF_GENERATE or name in GenerationConfig().to_dict()


def _shape(config: GenerationConfig) -> DraftShape:
    settings = cast("Any", config)
    return DraftShape(
        temperature=1.0 if settings.temperature is None else settings.temperature,
        top_k=settings.top_k or 0,
        top_p=1.0 if settings.top_p is None else settings.top_p,
        min_p=settings.min_p or 0.0,
    )


def _check(options: dict[str, Any]) -> None:
    check_limits(options)
    known = [*GenerationConfig().to_dict(), *EXTRA]
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else "; options have the names of model.generate"
            )
            raise OptionError(f"unknown option {name!r}{hint}")
        refuse(name, value)
    if (config := options.get("generation_config")) is not None:
        check_limits(cast("GenerationConfig", config).to_dict())
        for name in UNSUPPORTED:
            refuse(name, getattr(config, name, None))


def refuse(name: str, value: object) -> None:
    """Check that an option has a supported value.

    Raises:
        OptionError: if it does not, saying what to do instead.
    """
    neutral, remedy = UNSUPPORTED.get(name, ((value,), ""))
    if value not in neutral:
        raise OptionError(f"{name}={value!r}: {remedy}")


def _configure(
    model: PreTrainedModel, prompt: list[int], options: dict[str, Any]
) -> tuple[GenerationConfig, dict[str, Any]]:
    """A copy of the generation config with the options applied, and the options outside it."""
    extra = {name: options[name] for name in EXTRA if options.get(name) is not None}
    given = {
        name: value for name, value in options.items() if name not in EXTRA and value is not None
    }
    defaults = model.generation_config
    for name, value in QUIETLY_NEUTRAL.items():
        if (default := getattr(defaults, name, None)) not in (None, value):
            warn_once(
                f"the model's generation defaults ask for {name}={default}; going on with {value}"
            )
    own = cast("GenerationConfig | None", extra.get("generation_config"))
    sources = [given, defaults.to_dict(), own.to_dict() if own else {}]
    try:
        config, _ = cast("Any", model)._prepare_generation_config(own, **(given | QUIETLY_NEUTRAL))
        refuse("guidance_scale", config.guidance_scale)
        cast("Any", model)._prepare_special_tokens(
            config, True, device=device_of(model), batch_size=1
        )
        cast("Any", model)._prepare_generated_length(
            generation_config=config,
            has_default_max_length=all(source.get("max_length") is None for source in sources),
            has_default_min_length=all(source.get("min_length") is None for source in sources),
            model_input_name="input_ids",
            input_ids_length=len(prompt),
            inputs_tensor=torch.tensor([prompt]),
        )
    except ValueError as error:
        raise error if isinstance(error, OptionError) else OptionError(str(error)) from error
    config.max_length = _within_window(model, config.max_length)
    if config.max_length <= len(prompt):
        raise OptionError(
            f"max_length={config.max_length} leaves no room after a prompt of {len(prompt)} ids; "
            "raise it, or give max_new_tokens"
        )
    return config, extra


def _within_window(model: PreTrainedModel, max_length: int) -> int:
    """`max_length`, but no more than the window of a model with learned positions."""
    window = context_window(model)
    if window is None or max_length <= window or not has_learned_positions(model):
        return max_length
    warnings.warn(
        f"the target's window is {window} ids; stopping there instead of at {max_length}",
        UagWarning,
        stacklevel=2,
    )
    return window
