"""The fields of a request about decoding, as options of the decoder."""

from collections.abc import Mapping
from typing import Any, cast

from uag.serving.failures import Failure
from uag.serving.protocol.asked import Sampling
from uag.serving.protocol.fields import check_known_id
from uag.serving.protocol.served import ENDLESS, Served
from uag.values import listed, shown

# What a text is shaped by when it is sampled, and the values that change nothing.
SHAPES: dict[str, tuple[Any, ...]] = {"top_p": (1,), "top_k": (0, -1), "min_p": (0,)}
ANY_JSON = {"type": "object"}
# Below it scores overflow, and the likeliest token is all that is left.
COLDEST = 1e-3


def read_sampling(
    body: Mapping[str, Any],
    served: Served,
    *,
    limits: tuple[str, ...],
    alternatives: int | None,
    most: int | None,
) -> Sampling:
    """What the checked fields of a request say about decoding.

    What a request leaves out is as the model's generation defaults say, and sampling without a
    `top_k` there or here keeps all tokens.

    Args:
        body: the request.
        served: the model.
        limits: the names of the fields that limit new tokens, the preferred one first.
        alternatives: see `Sampling`.
        most: the most new tokens of a text.

    Raises:
        Failure: 400, for fields that contradict each other, or ids that the model lacks.
    """
    limit = next(((name, body[name]) for name in limits if body.get(name) is not None), None)
    if limit is not None and most is not None and limit[1] > most:
        raise Failure(
            f"{limit[0]}={limit[1]} is more than the {most} new tokens that this server allows "
            "(--max-tokens); lower it",
            param=limit[0],
        )
    count = cast("int", body.get("n") or 1)
    options = _sampled(body, served, count) | _ends(body, served) | _length(limit, served, most)
    options |= _minimum(body, limit)
    if (penalty := body.get("repetition_penalty")) is not None:
        options["repetition_penalty"] = float(penalty)
    stops = cast("list[str]", listed(body["stop"]) if body.get("stop") else [])
    if stops:
        options["stop_strings"] = stops
    seed = cast("int | None", body.get("seed"))
    schema = _schema(body.get("response_format"))
    if schema is not None and body.get("ignore_eos"):
        raise Failure(
            "ignore_eos=true with a response_format: such a text must end; leave one out",
            param="ignore_eos",
        )
    return Sampling(
        options,
        count=count,
        seed=None if seed is None or not options.get("do_sample", True) else seed % 2**63,
        limit=limit,
        stops=stops,
        keep_stop=bool(body.get("include_stop_str_in_output")),
        presence=float(body.get("presence_penalty") or 0),
        frequency=float(body.get("frequency_penalty") or 0),
        bias=_bias(body.get("logit_bias") or {}, served),
        schema=schema,
        alternatives=alternatives,
    )


def _sampled(body: Mapping[str, Any], served: Served, count: int) -> dict[str, Any]:
    defaults = cast("Any", served.defaults)
    temperature = cast("float | None", body.get("temperature"))
    if temperature is not None and temperature < COLDEST:
        if count > 1:
            raise Failure(
                f"n={count} with temperature={temperature}: greedy decoding gives the same text "
                "each time; raise the temperature, or leave n out",
                param="n",
            )
        return {"do_sample": False}
    asked = {
        name: body[name]
        for name, idle in SHAPES.items()
        if body.get(name) is not None and body[name] not in idle
    }
    if temperature is None and not asked and count == 1 and not defaults.do_sample:
        return {"do_sample": False}
    options: dict[str, Any] = {"do_sample": True}
    if temperature is not None:
        options["temperature"] = float(temperature)
    for name in SHAPES:
        if (value := body.get(name)) is not None:
            options[name] = max(value, 0)
    if "top_k" not in options and defaults.top_k is None:
        options["top_k"] = 0  # transformers' own default is 50
    return options


def _ends(body: Mapping[str, Any], served: Served) -> dict[str, Any]:
    further = cast("list[int]", listed(body.get("stop_token_ids") or []))
    for id in further:
        check_known_id("stop_token_ids", id, served.rows)
    if body.get("ignore_eos"):
        return {"eos_token_id": further or None}
    return {"eos_token_id": [*served.ends, *further]} if further else {}


def _length(limit: tuple[str, int] | None, served: Served, most: int | None) -> dict[str, Any]:
    if limit is not None:
        return {"max_new_tokens": limit[1]}
    if most is not None:
        return {"max_new_tokens": most}
    if served.window is not None:
        return {"max_length": served.window}
    return {"max_new_tokens": ENDLESS}


def _minimum(body: Mapping[str, Any], limit: tuple[str, int] | None) -> dict[str, Any]:
    least = cast("int", body.get("min_tokens") or 0)
    if limit is not None and least > limit[1]:
        raise Failure(
            f"min_tokens={least} is more than {limit[0]}={limit[1]}; lower it", param="min_tokens"
        )
    return {"min_new_tokens": least} if least else {}


def _bias(given: Mapping[str, Any], served: Served) -> dict[int, float]:
    for id in given:
        check_known_id("logit_bias", int(id), served.rows)
    return {int(id): float(bias) for id, bias in given.items()}


def _schema(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    match given:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return ANY_JSON
        case {"type": "json_schema", "json_schema": {"schema": dict()}}:
            return cast("dict[str, Any]", given["json_schema"]["schema"])
        case _:
            raise Failure(
                f"response_format={shown(given)} is not possible: its type must be text, "
                "json_object, or json_schema with a json_schema that has a schema",
                param="response_format",
            )
