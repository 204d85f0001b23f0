"""Generation options, which have transformers' names and are interpreted by its own code."""

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    InfNanRemoveLogitsProcessor,
    LogitNormalization,
    LogitsProcessorList,
    MaxLengthCriteria,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from uag.decoding.stop_strings import StopStrings
from uag.decoding.stopping import Stop
from uag.errors import OptionError, UagError, UagWarning
from uag.models.properties import context_window, device_of, position_limit
from uag.requests.asked import (
    EXTRA,
    UNSUPPORTED,
    asked_for,
    check_asked,
    check_values,
    left_aside,
    option_names,
)
from uag.sampling.coupled import DraftShape
from uag.translation.tokenizers import AnyTokenizer

# Arguments of `SpeculativeDecoder.generate` itself.
OF_GENERATE = ("num_return_sequences", "seed", "batch_size", "streamer", "trace")
# Processors that keep no tensors.
WITHOUT_TENSORS = {
    InfNanRemoveLogitsProcessor,
    LogitNormalization,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
}


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
    check_asked(options, model.generation_config)
    device, cpu = device_of(model), torch.device("cpu")
    with options_alone():
        config, extra = _configure(model, prompt, options)
        # On the CPU first: each look at a tensor on another device would wait for that.
        processors = _processors(model, config, prompt, extra, cpu)
        criteria = cast("Any", model)._get_stopping_criteria(
            config, _with_stop_strings(config, tokenizer, extra.get("stopping_criteria", []))
        )
        if device != cpu and not WITHOUT_TENSORS.issuperset(map(type, processors)):
            processors = _processors(model, config, prompt, extra, device)
    return plan_prepared(model, config, processors, criteria, len(prompt), device)


def _processors(
    model: PreTrainedModel,
    config: GenerationConfig,
    prompt: list[int],
    extra: dict[str, Any],
    device: torch.device,
) -> LogitsProcessorList:
    """The processors of a config and those of the caller; what they keep is on a device.

    So are the tensors of special tokens that the config keeps from now on.
    """
    cast("Any", model)._prepare_special_tokens(config, True, device=device, batch_size=1)
    return cast("Any", model)._get_logits_processor(
        config,
        input_ids_seq_length=len(prompt),
        encoder_input_ids=torch.tensor([prompt], device=device),
        prefix_allowed_tokens_fn=extra.get("prefix_allowed_tokens_fn"),
        logits_processor=extra.get("logits_processor"),
        device=device,
        model_kwargs={},
    )


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
    return name in OF_GENERATE or name in option_names()


def _shape(config: GenerationConfig) -> DraftShape:
    settings = cast("Any", config)
    return DraftShape(
        temperature=1.0 if settings.temperature is None else settings.temperature,
        top_k=settings.top_k or 0,
        top_p=1.0 if settings.top_p is None else settings.top_p,
        min_p=settings.min_p or 0.0,
    )


@contextmanager
def options_alone() -> Generator[None]:
    """Around transformers' readers of options: whatever they raise, the options are the cause.

    Raises:
        OptionError: in place of any error.
    """
    try:
        yield
    except UagError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise OptionError(f"transformers cannot read the options: {kind}{error!s:.300}") from error


def _configure(
    model: PreTrainedModel, prompt: list[int], options: dict[str, Any]
) -> tuple[GenerationConfig, dict[str, Any]]:
    """A copy of the generation config with the options applied, and the options outside it."""
    extra = {name: options[name] for name in EXTRA if options.get(name) is not None}
    # An explicit `None` is an option too: it switches off what the model has by default.
    given = {name: value for name, value in options.items() if name not in EXTRA}
    defaults = model.generation_config
    own = cast("GenerationConfig | None", extra.get("generation_config"))
    asked = asked_for(given, own, defaults)
    neutral = left_aside(defaults, UNSUPPORTED.keys() - asked.keys())
    config, _ = cast("Any", model)._prepare_generation_config(own, **(given | neutral))
    check_values(model, config, asked)
    by_default = {
        name: getattr(config, name) is None
        or (given.get(name) is getattr(defaults, name) is getattr(own, name, None) is None)
        for name in ("max_length", "min_length")
    }
    if config.max_length is None:  # switched off: transformers' own number of new ids then
        config.max_length = config._get_default_generation_params()["max_length"]
    cast("Any", model)._prepare_generated_length(
        generation_config=config,
        has_default_max_length=by_default["max_length"],
        has_default_min_length=by_default["min_length"],
        model_input_name="input_ids",
        input_ids_length=len(prompt),
        inputs_tensor=torch.tensor([prompt]),
    )
    config.max_length = _within_window(model, config.max_length)
    if config.max_length <= len(prompt):
        raise OptionError(
            f"max_length={config.max_length} leaves no room after a prompt of {len(prompt)} ids; "
            "raise it, or give max_new_tokens"
        )
    return config, extra


def _with_stop_strings(
    config: GenerationConfig, tokenizer: AnyTokenizer, given: Sequence[StoppingCriteria]
) -> StoppingCriteriaList:
    """The caller's criteria, and one for the stop strings, which are taken from the config.

    transformers' own would read the whole vocabulary. A caller's own criterion takes precedence.
    """
    settings = cast("Any", config)
    strings, settings.stop_strings = settings.stop_strings, None
    if strings is None or any(type(each) is StopStringCriteria for each in given):
        return StoppingCriteriaList(given)
    return StoppingCriteriaList([*given, StopStrings(tokenizer, strings)])


def _within_window(model: PreTrainedModel, max_length: int) -> int:
    """`max_length`, but no more than there are positions."""
    window = context_window(model)
    # Look for a table of positions only where its end is near: that takes a while.
    limit = None if window is None or max_length <= window // 2 else position_limit(model)
    if limit is None or max_length <= limit:
        return max_length
    warnings.warn(
        f"the target's window is {limit} ids; stopping there instead of at {max_length}",
        UagWarning,
        stacklevel=2,
    )
    return limit
