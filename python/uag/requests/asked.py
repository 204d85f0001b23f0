"""What a caller asks for, and whether it can be met: checked before anything runs.

Some options of transformers are not supported. They are refused if a caller asks for them. A model
may have them in its own generation defaults: nobody asked for those in the call, so a neutral value
replaces them; if that changes the text, a warning says so.
"""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from uag.errors import OptionError, warn_once
from uag.limits import SHAPING, check_limits, check_scored
from uag.models.properties import vocabulary_rows
from uag.values import shown

# Arguments of `model.generate` that are not in its GenerationConfig.
EXTRA = ("generation_config", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn")
# Options whose ids must have a score, or a processor of transformers fails in the middle of a text.
FATAL = ("bad_words_ids", "sequence_bias", "forced_bos_token_id", "forced_eos_token_id")
# Values with which greedy decoding does what is asked for.
IDLE: dict[str, tuple[Any, ...]] = {
    "temperature": (None, 0, 1),
    "top_k": (None, 0, 1, 50),  # 50 is transformers' own default
    "top_p": (None, 1),
    "min_p": (None, 0),
    "top_h": (None,),
    "typical_p": (None, 1),
    "epsilon_cutoff": (None, 0),
    "eta_cutoff": (None, 0),
}


class Unsupported(NamedTuple):
    """The values that are accepted, the neutral one first; what to do instead of others."""

    accepted: tuple[Any, ...]
    remedy: str


BEAMS = Unsupported((1, None), "beam search is not supported; leave it out")
LOOKAHEAD = Unsupported((None,), "give lookahead= to the decoder instead")
LOOKUP = Unsupported(
    (None,), 'build the decoder with assistant="lookup", or lookup=True beside an assistant'
)
# Without these the text would be another one.
CHANGING: dict[str, Unsupported] = {
    "num_beams": BEAMS,
    "num_beam_groups": BEAMS,
    "constraints": Unsupported((None,), "constrained beam search is not supported"),
    "force_words_ids": Unsupported((None,), "constrained beam search is not supported"),
    "guidance_scale": Unsupported(
        (None, 1, 1.0), "classifier-free guidance is not supported; leave it out"
    ),
    "penalty_alpha": Unsupported((None, 0, 0.0), "contrastive search is not supported"),
    "dola_layers": Unsupported((None,), "DoLa decoding is not supported"),
    "token_healing": Unsupported((None, False), "token healing is not supported"),
    "assistant_ensemble_weight": Unsupported(
        (None,), "a decoder never changes the target's distribution; leave it out"
    ),
    "num_return_sequences": Unsupported((1, None), "give it to generate() itself"),
}
# These say how to compute the text, or what to return beside it.
UNSUPPORTED: dict[str, Unsupported] = CHANGING | {
    "prompt_lookup_num_tokens": LOOKUP,
    "assistant_early_exit": Unsupported((None,), "early-exit drafts are not supported"),
    "use_mtp": Unsupported((None, False), "drafts of the model's own heads are not supported"),
    "speculation_type": Unsupported((None,), "give assistant= to the decoder instead"),
    "is_assistant": Unsupported((None, False), "give assistant= to a decoder instead"),
    "num_assistant_tokens": LOOKAHEAD,
    "num_assistant_tokens_schedule": LOOKAHEAD,
    "cache_implementation": Unsupported(
        (None, "dynamic"), "only the dynamic cache can be rolled back"
    ),
    "use_cache": Unsupported((True, None), "decoding needs the cache"),
    "return_dict_in_generate": Unsupported((None, False), "the result is always an Output"),
    "output_scores": Unsupported((None, False), "scores are not returned"),
    "output_logits": Unsupported((None, False), "logits are not returned"),
    "output_attentions": Unsupported((None, False), "attentions are not returned"),
    "output_hidden_states": Unsupported((None, False), "hidden states are not returned"),
}


@cache
def option_names() -> dict[str, None]:
    """The names of all options of `model.generate`, as the keys."""
    return dict.fromkeys([*GenerationConfig().to_dict(), *EXTRA])


def is_supported(name: str, value: object) -> bool:
    """Whether a decoder can do what an option asks for.

    >>> is_supported("num_beams", 1), is_supported("num_beams", 4), is_supported("top_p", 0.9)
    (True, False, True)
    """
    if name not in UNSUPPORTED:
        return True
    # Not by `==` alone: True is 1, but not as a number of beams.
    return any(
        value is each or (type(value) is type(each) and value == each)
        for each in UNSUPPORTED[name].accepted
    )


def refuse(options: Mapping[str, Any]) -> None:
    """Refuse options that ask for what is not supported.

    Raises:
        OptionError: naming the option and what to do instead.
    """
    for name, value in options.items():
        if not is_supported(name, value):
            raise OptionError(f"{name}={shown(value)}: {UNSUPPORTED[name].remedy}")


def asked_for(
    options: Mapping[str, Any], config: GenerationConfig | None, defaults: GenerationConfig
) -> dict[str, Any]:
    """What a caller asks for: keywords, and what a given config has and the model's has not.

    >>> theirs, models = GenerationConfig(num_beams=4, top_p=0.9), GenerationConfig(num_beams=4)
    >>> asked_for({"eos_token_id": None}, theirs, models)
    {'top_p': 0.9, 'eos_token_id': None}
    """
    given: dict[str, Any] = {} if config is None else vars(config)
    theirs = {
        name: value
        for name, value in given.items()
        if not (name.startswith("_") or name == "transformers_version" or value is None)
        and not is_same(value, getattr(defaults, name, None))
    }
    return theirs | dict(options)


def left_aside(config: GenerationConfig, names: Iterable[str] = UNSUPPORTED) -> dict[str, Any]:
    """Neutral values for what a model's generation defaults ask for and is not supported.

    Warns if the text is another one without it.

    Args:
        config: the model's generation config.
        names: the options to look at.

    >>> left_aside(GenerationConfig(use_cache=False, top_p=0.9))
    {'use_cache': True}
    """
    values: dict[str, Any] = {}
    for name in names:
        if not is_supported(name, default := getattr(config, name, None)):
            values[name] = UNSUPPORTED[name].accepted[0]
            if name in CHANGING:
                warn_once(
                    f"the model's generation defaults ask for {name}={shown(default)}, which is "
                    f"not supported; going on with {name}={values[name]}, so the text may be "
                    "another one"
                )
    return values


def says_whether_to_sample(options: Mapping[str, Any]) -> bool:
    """Whether a caller has said to sample or to decode greedily, in either way."""
    config = options.get("generation_config")
    return "do_sample" in options or getattr(config, "do_sample", None) is not None


def check_asked(options: dict[str, Any], defaults: GenerationConfig) -> None:
    """Check all that a caller asks for, but for what only sampling reads.

    Args:
        options: the caller's.
        defaults: the model's.

    Raises:
        OptionError: for a name or value that is unknown, out of range or not supported.
    """
    for name in options:
        if name not in (known := option_names()):
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else "; options have the names of model.generate"
            )
            raise OptionError(f"unknown option {name!r}{hint}")
    config = options.get("generation_config")
    if config is not None and not isinstance(config, GenerationConfig):
        raise OptionError(
            f"generation_config={shown(config)}: give a transformers.GenerationConfig"
        )
    asked = asked_for(options, config, defaults)
    refuse(asked)
    check_limits({name: value for name, value in asked.items() if name not in SHAPING})


def check_values(model: PreTrainedModel, config: GenerationConfig, asked: dict[str, Any]) -> None:
    """Check the values of a config that depend on others, or on the model.

    Warns of options for sampling that do nothing.

    Args:
        model: the target.
        config: the caller's options together with the model's defaults.
        asked: the caller's options alone.

    Raises:
        OptionError: naming the option.
    """
    settings, rows = cast("Any", config), vocabulary_rows(model)
    check_scored(asked, rows)
    # A model may have ids to suppress that it lacks; with the others transformers itself fails.
    check_scored({name: getattr(config, name, None) for name in FATAL}, rows)
    shaping = {name: asked.get(name) for name in SHAPING}
    if settings.do_sample:
        check_limits(shaping)
    elif "do_sample" not in asked:
        warn_idle({name: value for name, value in shaping.items() if value not in IDLE[name]})
    ends = torch.as_tensor([] if settings.eos_token_id is None else settings.eos_token_id)
    if settings.exponential_decay_length_penalty is not None and not (
        ends.numel() and bool((ends < rows).all())
    ):
        raise OptionError(
            "exponential_decay_length_penalty raises the score of the end, but eos_token_id="
            f"{shown(settings.eos_token_id)} is not an id of the target; give one that is"
        )


def warn_idle(options: Mapping[str, Any]) -> None:
    """Say once that options for sampling do nothing, as decoding is greedy."""
    if options:
        # Without the values: a new seed for each call is no new mistake.
        warn_once(
            f"{', '.join(options)}: only sampling reads it, and decoding is greedy; add "
            "do_sample=True to sample, or do_sample=False to decode greedily without this warning"
        )


def is_same(one: object, other: object) -> bool:
    """Whether two values of an option are equal; `False` if that cannot be told."""
    try:
        return bool(one == other)
    except (ValueError, RuntimeError):  # tensors and arrays of several values
        return False
