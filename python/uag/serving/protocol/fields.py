"""The fields of a request: what each may be, which are ignored, and which are refused."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from uag.limits import LIMITS, SHARE, Limit
from uag.serving.failures import Failure
from uag.values import are_ids, is_bool, is_id, is_number, is_text, is_whole, shown

LOG = logging.getLogger("uag.serving")
MOST_STOPS, MOST_TEXTS, MOST_ALTERNATIVES = 4, 16, 20
LONGEST_STOP = 1024
LONGEST_ID = 20  # digits


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_dict, cast("list[Any]", value)))


def _is_stop(value: Any) -> bool:
    strings = cast("list[Any]", value if isinstance(value, list) else [value])
    return len(strings) <= MOST_STOPS and all(
        is_text(each) and 0 < len(each) <= LONGEST_STOP for each in strings
    )


def _is_bias(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    pairs = cast("dict[str, Any]", value).items()
    return all(
        id.isascii() and id.isdigit() and len(id) < LONGEST_ID and _is_between(-100, 100)(bias)
        for id, bias in pairs
    )


def _is_same(value: object, neutral: object) -> bool:
    return value == neutral and is_bool(value) == is_bool(neutral)


def _is_between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: is_number(value) and low <= value <= high


def _is_whole_between(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: is_whole(value, low, high + 1)


BOOL = Limit(is_bool, "true or false")
TEXT = Limit(is_text, "a text without lone surrogates")
OBJECT = Limit(_is_dict, "an object")
OBJECTS = Limit(_is_list_of_dicts, "a list of objects")
PENALTY = Limit(_is_between(-2, 2), "a number from -2 to 2")
NEW = Limit(lambda value: is_whole(value, 1, 2**31), "a whole number, at least 1")

# Those of both endpoints.
SHARED: dict[str, Limit] = {
    "model": TEXT,
    "n": Limit(_is_whole_between(1, MOST_TEXTS), f"a whole number from 1 to {MOST_TEXTS}"),
    "stream": BOOL,
    "stream_options": OBJECT,
    "stop": Limit(
        _is_stop,
        f"a text or a list of up to {MOST_STOPS}, each of 1 to {LONGEST_STOP:,} characters",
    ),
    "seed": Limit(
        _is_whole_between(-(2**63), 2**63 - 1), "a whole number from -2**63 to 2**63 - 1"
    ),
    "temperature": Limit(_is_between(0, 100), "a number from 0, which is greedy, to 100"),
    "top_p": SHARE,
    "top_k": Limit(lambda value: is_whole(value, -1, 2**31), "a whole number; 0 or -1 keeps all"),
    "min_p": LIMITS["min_p"],
    "repetition_penalty": Limit(_is_between(0.01, 100), "a number from 0.01 to 100; 1 is none"),
    "presence_penalty": PENALTY,
    "frequency_penalty": PENALTY,
    "logit_bias": Limit(_is_bias, "an object from ids, as text, to numbers from -100 to 100"),
    "max_tokens": NEW,
    "min_tokens": Limit(lambda value: is_whole(value, 0, 2**31), "a whole number, at least 0"),
    "ignore_eos": BOOL,
    "stop_token_ids": Limit(lambda value: value == [] or are_ids(value), "a list of ids"),
    "include_stop_str_in_output": BOOL,
    "response_format": OBJECT,
    "cache_salt": TEXT,
    "uag_parts": BOOL,
}
CHAT: dict[str, Limit] = SHARED | {
    "messages": OBJECTS,
    "max_completion_tokens": NEW,
    "logprobs": BOOL,
    "top_logprobs": Limit(
        _is_whole_between(0, MOST_ALTERNATIVES), f"a whole number from 0 to {MOST_ALTERNATIVES}"
    ),
    "tools": OBJECTS,
    "tool_choice": Limit(lambda value: isinstance(value, str | dict), '"auto" or "none"'),
    "chat_template_kwargs": OBJECT,
    "add_generation_prompt": BOOL,
    "continue_final_message": BOOL,
}
COMPLETION: dict[str, Limit] = SHARED | {
    "prompt": Limit(
        lambda value: isinstance(value, str | list), "a text, ids, or a list of either"
    ),
    "logprobs": CHAT["top_logprobs"],
}
STREAMING: dict[str, Limit] = {"include_usage": BOOL, "continuous_usage_stats": BOOL}
# Fields that change nothing here, or only say who asks.
IGNORED = {
    *("user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier"),
    *("prompt_cache_retention", "reasoning_effort", "verbosity", "spaces_between_special_tokens"),
    *("request_id", "priority", "cache_prompt", "include_reasoning"),
}
# Known fields that are not supported: the values that change nothing, `null` among them always.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "suffix": ("",),
    "echo": (False,),
    "functions": ([],),
    "function_call": ("none",),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "parallel_tool_calls": (True,),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "early_stopping": (False,),
    "prompt_logprobs": (0,),
    "skip_special_tokens": (True,),
    "add_special_tokens": (True,),
    "truncate_prompt_tokens": (),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "chat_template": (),
    "documents": ([],),
    "logits_processors": ([],),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
    "typical_p": (1,),
    "return_token_ids": (False,),
}


def check_fields(body: Mapping[str, Any], known: Mapping[str, Limit]) -> None:
    """Refuse fields that are of another kind, out of range, or not supported.

    Fields that nobody knows are ignored, with a line in the log for debugging.

    Raises:
        Failure: 400, naming the field, its value and what it may be.

    >>> check_fields({"n": 2, "best_of": 1, "who": "?"}, SHARED)
    >>> check_fields({"n": 0}, SHARED)
    Traceback (most recent call last):
    uag.serving.failures.Failure: n=0 is not possible: it must be a whole number from 1 to 16
    """
    for name, value in body.items():
        if value is None:
            continue
        if name in known:
            check_field(name, value, known[name])
        elif name in NEUTRAL:
            if not any(_is_same(value, each) for each in NEUTRAL[name]):
                raise Failure(f"{name}={shown(value)} is not supported; leave it out", param=name)
        elif name not in IGNORED:
            LOG.debug("the field %s is unknown, and ignored", shown(name))


def check_field(name: str, value: object, limit: Limit) -> None:
    """Refuse a value that is not within its limit.

    Raises:
        Failure: 400, with the field's name as `param`.
    """
    if not limit.allows(value):
        raise Failure(
            f"{name}={shown(value)} is not possible: it must be {limit.words}", param=name
        )


def check_known_id(name: str, id: int, rows: int) -> None:
    """Refuse an id that the model has no score for.

    Raises:
        Failure: 400, with the field's name as `param`.
    """
    if not (is_id(id) and id < rows):
        raise Failure(f"{name} has id {shown(id)}, but ids go from 0 to {rows - 1}", param=name)
