"""What each option may be, and the checks that refuse any other value before anything runs.

transformers does not check these limits, ignores a value outside them, or fails in the middle of a
text.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from uag.errors import OptionError
from uag.values import are_ids, is_id, is_number, is_pair, is_text, is_whole, listed, shown


@dataclass(frozen=True, slots=True)
class Limit:
    """Whether a value is allowed, and which ones are, in words."""

    allows: Callable[[Any], bool]
    words: str


def _is_biased(sequence: Any, bias: object) -> bool:
    return isinstance(sequence, list | tuple) and are_ids(cast("Any", sequence)) and is_number(bias)


def _are_biases(value: Any) -> bool:
    pairs: Any = [*value.items()] if isinstance(value, dict) else value
    return isinstance(pairs, list) and all(
        is_pair(pair) and _is_biased(*pair) for pair in cast("list[Any]", pairs)
    )


def _are_words(value: Any) -> bool:
    words = cast("list[Any]", value if isinstance(value, list) else [])
    return bool(words) and all(isinstance(ids, list) and are_ids(ids) for ids in words)


def _is_decay(value: object) -> bool:
    return is_pair(value) and is_whole(value[0], 0, 2**63) and is_number(value[1])


def _is_watermark(value: Any) -> bool:
    fields = cast("dict[str, Any]", value)
    if not isinstance(value, dict):
        fields = getattr(value, "__dict__", {"bias": None})
    return is_number(fields.get("bias", 0.0)) and is_whole(
        fields.get("hashing_key", 0), -(2**63), 2**63
    )


# Passes over trees by CUDA graphs have room for one id more.
LARGEST_TREE = 31
WHOLE = Limit(is_whole, "a whole number, at least 0")
# A longer n-gram never repeats; transformers makes a list of as many parts.
GRAMS = Limit(lambda value: is_whole(value, 0, 2**20), "a whole number from 0 to 2**20 - 1")
SOME = Limit(lambda value: is_whole(value, 1), "at least 1, and a whole number")
SCALE = Limit(lambda value: is_number(value) and value > 0, "above 0 and finite")
SHARE = Limit(
    lambda value: is_number(value) and 0 < value <= 1, "above 0 and at most 1, which keeps all"
)
CUTOFF = Limit(
    lambda value: is_number(value) and 0 <= value < 1, "from 0, which keeps all tokens, to below 1"
)
# 0 and 1 are False and True in Python.
SWITCH = Limit(lambda value: isinstance(value, int | float) and value in (0, 1), "True or False")
ID = Limit(is_id, "an id, at least 0")
IDS = Limit(are_ids, "an id or a list of ids, each at least 0")
SAVED_ID = Limit(lambda value: is_whole(value, -(2**63), 2**63), "an id")
CALLABLES = Limit(
    lambda value: isinstance(value, list | tuple) and all(map(callable, cast("Any", value))),
    "a list of callables, such as a LogitsProcessorList or a StoppingCriteriaList",
)

# How the distribution is shaped for sampling; greedy decoding reads none of them.
SHAPING: dict[str, Limit] = {
    "temperature": Limit(
        SCALE.allows, "above 0; for greedy decoding give do_sample=False (--greedy)"
    ),
    "top_k": Limit(is_whole, "a whole number; 0 keeps all tokens"),
    "top_p": SHARE,
    "min_p": Limit(
        lambda value: is_number(value) and 0 <= value <= 1, "from 0, which keeps all tokens, to 1"
    ),
    "top_h": SHARE,
    "typical_p": SHARE,
    "epsilon_cutoff": CUTOFF,
    "eta_cutoff": CUTOFF,
}
LIMITS: dict[str, Limit] = SHAPING | {
    "draft_temperature": Limit(SCALE.allows, "above 0; 1 is the target's own"),
    "tree": Limit(
        lambda value: is_whole(value, 0, LARGEST_TREE + 1) and value != 1,
        f"a number of candidates from 2 to {LARGEST_TREE}, or 0 for none beside the drafted ids",
    ),
    "seed": Limit(is_id, "a whole number from 0 to 2**63 - 1"),
    # All of them are planned before the first runs.
    "num_return_sequences": Limit(
        lambda value: is_whole(value, 1, 100_001), "a whole number from 1 to 100,000"
    ),
    "batch_size": SOME,
    "max_new_tokens": WHOLE,
    "max_length": WHOLE,
    "min_new_tokens": WHOLE,
    "min_length": WHOLE,
    "no_repeat_ngram_size": GRAMS,
    "encoder_no_repeat_ngram_size": GRAMS,
    "max_time": Limit(
        lambda value: value == math.inf or (is_number(value) and value >= 0),
        "a number of seconds, at least 0",
    ),
    "stop_strings": Limit(
        lambda value: bool(value) and all(text and is_text(text) for text in listed(value)),
        "a text or a list of texts, none of them empty or with lone surrogates",
    ),
    "do_sample": SWITCH,
    "renormalize_logits": SWITCH,
    "remove_invalid_values": SWITCH,
    "trace": SWITCH,
    "repetition_penalty": SCALE,
    "encoder_repetition_penalty": SCALE,
    "eos_token_id": IDS,
    "forced_eos_token_id": IDS,
    "forced_bos_token_id": ID,
    "pad_token_id": SAVED_ID,
    "bos_token_id": SAVED_ID,
    "suppress_tokens": Limit(lambda value: all(map(is_id, listed(value))), IDS.words),
    "begin_suppress_tokens": Limit(lambda value: all(map(is_id, listed(value))), IDS.words),
    "bad_words_ids": Limit(_are_words, "a list of lists of ids, none of them empty"),
    "sequence_bias": Limit(
        _are_biases, "a dict from tuples of ids to finite numbers, or a list of [ids, number]"
    ),
    "exponential_decay_length_penalty": Limit(
        _is_decay, "(where it starts, a whole number; the factor, a finite number)"
    ),
    "watermarking_config": Limit(
        _is_watermark, "a transformers.WatermarkingConfig, with a finite bias and a whole key"
    ),
    "logits_processor": CALLABLES,
    "stopping_criteria": CALLABLES,
    "prefix_allowed_tokens_fn": Limit(callable, "a function of (batch_id, ids)"),
    "streamer": Limit(
        lambda value: callable(getattr(value, "put", None)),
        "a streamer of transformers, with the methods put and end",
    ),
}
# Options whose ids the model must have a score for; others just never meet an id that it lacks.
SCORED = (
    "bad_words_ids",
    "sequence_bias",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


def check_limits(options: Mapping[str, Any]) -> None:
    """Refuse options whose values are of another kind or out of range.

    `None` and unknown names pass.

    Raises:
        OptionError: naming the option, its value and its limits.

    >>> check_limits({"top_p": 0.9, "seed": None})
    >>> check_limits({"batch_size": 0})
    Traceback (most recent call last):
    uag.errors.OptionError: batch_size=0 is out of range: it must be at least 1, and a whole number
    """
    for name, value in options.items():
        if value is not None and name in LIMITS and not LIMITS[name].allows(value):
            raise OptionError(
                f"{name}={shown(value)} is out of range: it must be {LIMITS[name].words}"
            )


def check_scored(options: Mapping[str, Any], rows: int) -> None:
    """Refuse ids that a model with `rows` scores does not have, in options that need their score.

    Raises:
        OptionError: naming the option and the id.

    >>> check_scored({"suppress_tokens": [5, 6], "eos_token_id": 9999}, rows=420)
    >>> check_scored({"bad_words_ids": [[5], [10**9]]}, rows=420)
    Traceback (most recent call last):
    uag.errors.OptionError: bad_words_ids has id 1000000000, but the target's ids go from 0 to 419
    """
    for name in SCORED:
        for id in _ids_in(name, options.get(name)):
            if id >= rows:
                raise OptionError(
                    f"{name} has id {shown(id)}, but the target's ids go from 0 to {rows - 1}"
                )


def _ids_in(name: str, value: Any) -> list[int]:
    match name, value:
        case _, None:
            return []
        case "sequence_bias", _:
            # A dict from sequences, or a list of pairs that begin with one.
            pairs = cast("list[Any]", value.items() if hasattr(value, "items") else value)
            return [id for ids, _ in pairs for id in ids]
        case "bad_words_ids", _:
            return [id for ids in value for id in ids]
        case _:
            return listed(value)


def check_positive(**numbers: int | None) -> None:
    """Refuse counts that are not whole numbers from 1 on; `None` passes.

    Raises:
        OptionError: naming the option and its value.

    >>> check_positive(batch_size=4, k=None)
    """
    for name, number in numbers.items():
        if number is not None and not is_whole(number, 1):
            raise OptionError(f"{name} is {shown(number)}, but must be at least 1")
