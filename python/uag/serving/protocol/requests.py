"""Requests for chats and completions: a JSON body to what is asked for."""

import json
from collections.abc import Mapping
from typing import Any, cast

from uag.requests.prompts.chat import RENDERING, Chat
from uag.serving.failures import Failure
from uag.serving.protocol.asked import Asked
from uag.serving.protocol.fields import (
    CHAT,
    COMPLETION,
    STREAMING,
    check_field,
    check_fields,
    check_known_id,
)
from uag.serving.protocol.sampling import read_sampling
from uag.serving.protocol.served import Served
from uag.values import are_ids, is_text, shown

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# What templates may read of a message; the rest is the client's own.
OF_MESSAGE = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")
OF_COMPLETION, OF_CHAT = ("max_tokens",), ("max_completion_tokens", "max_tokens")


def read_completion(body: Mapping[str, Any], served: Served, most: int | None) -> Asked:
    """A request of /v1/completions.

    Raises:
        Failure: 400, naming the field; 404 for another model.
    """
    check_fields(body, COMPLETION)
    check_model(body, served)
    sampling = read_sampling(
        body, served, limits=OF_COMPLETION, alternatives=body.get("logprobs"), most=most
    )
    prompts = _prompts(body.get("prompt"), served)
    return Asked(prompts, sampling, "prompt", **_shared(body))


def read_chat(body: Mapping[str, Any], served: Served, most: int | None) -> Asked:
    """A request of /v1/chat/completions.

    Raises:
        Failure: 400, naming the field; 404 for another model.
    """
    check_fields(body, CHAT)
    check_model(body, served)
    alternatives = cast("int | None", body.get("top_logprobs"))
    if alternatives is not None and not body.get("logprobs"):
        raise Failure(
            f"top_logprobs={alternatives} needs logprobs=true; add it", param="top_logprobs"
        )
    sampling = read_sampling(
        body,
        served,
        limits=OF_CHAT,
        alternatives=(alternatives or 0) if body.get("logprobs") else None,
        most=most,
    )
    tools = _tools(body)
    return Asked([read_messages(body, tools)], sampling, "messages", tools=tools, **_shared(body))


def check_model(body: Mapping[str, Any], served: Served) -> None:
    """Refuse a request for another model than the one that is served.

    Raises:
        Failure: 404.
    """
    if body.get("model") not in (None, "", served.name):
        raise unknown_model(str(body["model"]), served)


def unknown_model(name: str, served: Served) -> Failure:
    """The answer to a request for another model."""
    return Failure(
        f"there is no model {shown(name)} here; ask for {served.name!r}",
        status=404,
        param="model",
        code="model_not_found",
    )


def read_messages(body: Mapping[str, Any], tools: list[dict[str, Any]] | None) -> Chat:
    """The chat of a request, which gets a new reply unless it says to continue the last message.

    Raises:
        Failure: 400, naming the message.
    """
    messages = body.get("messages")
    if not messages:
        raise Failure("messages is missing or empty; give at least one", param="messages")
    continues = bool(body.get("continue_final_message"))
    opens = body.get("add_generation_prompt")
    if continues and opens:
        raise Failure(
            "continue_final_message and add_generation_prompt exclude each other; leave one out",
            param="continue_final_message",
        )
    options = _template_options(body) | {
        "continue_final_message": continues,
        "add_generation_prompt": not continues if opens is None else bool(opens),
    }
    if tools:
        options["tools"] = tools
    said = [_message(number, each) for number, each in enumerate(messages)]
    return Chat(said, **options)


def _template_options(body: Mapping[str, Any]) -> dict[str, Any]:
    given = cast("dict[str, Any]", body.get("chat_template_kwargs") or {})
    for name in given:
        if name in (*RENDERING, "tokenize", "return_dict", "return_tensors", "conversation"):
            raise Failure(
                f"chat_template_kwargs has {shown(name)}, which is no variable of a template; "
                "leave it out",
                param="chat_template_kwargs",
            )
    return given


def _message(number: int, given: Mapping[str, Any]) -> dict[str, Any]:
    at = f"messages[{number}]"
    role, content = given.get("role"), given.get("content")
    if role not in ROLES:
        raise Failure(
            f"{at}.role={shown(role)} is not possible: it must be one of {', '.join(ROLES)}",
            param=f"{at}.role",
        )
    message = {name: given[name] for name in OF_MESSAGE if given.get(name) is not None}
    if role == "developer":
        message["role"] = "system"
    for name in ("name", "tool_call_id", "reasoning_content"):
        if name in message and not is_text(message[name]):
            raise Failure(f"{at}.{name} must be a text", param=f"{at}.{name}")
    calls = given.get("tool_calls")
    if calls is not None:
        message["tool_calls"] = _calls(at, calls)
    if content is None and not calls:
        raise Failure(f"{at} has no content; give a text", param=f"{at}.content")
    message["content"] = "" if content is None else _content(at, content)
    return message


def _content(at: str, given: Any) -> str | list[dict[str, str]]:
    if is_text(given):
        return cast("str", given)
    parts = cast("list[Any]", given if isinstance(given, list) else [None])
    for part in parts:
        match part:
            case {"type": "text", "text": text} if is_text(text):
                pass
            case _:
                raise Failure(
                    f"{at}.content has {shown(part)}, but must be a text, or a list of parts like "
                    '{"type": "text", "text": "..."}; images are not read here',
                    param=f"{at}.content",
                )
    if not parts:
        raise Failure(f"{at}.content is an empty list; give a text", param=f"{at}.content")
    # Joined: most templates read texts alone.
    return "".join(part["text"] for part in parts)


def _calls(at: str, given: Any) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for call in cast("list[Any]", given if isinstance(given, list) else [None]):
        match call:
            case {"function": {"name": str(name), "arguments": arguments}}:
                # Templates write the arguments as JSON themselves.
                own = {"name": name, "arguments": _arguments(arguments)}
                calls.append({**call, "type": "function", "function": own})
            case _:
                raise Failure(
                    f"{at}.tool_calls has {shown(call)}, but each must have a function with name "
                    "and arguments",
                    param=f"{at}.tool_calls",
                )
    return calls


def _arguments(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):  # what a model wrote once
        return given


def _tools(body: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    choice = body.get("tool_choice")
    if choice not in (None, "auto", "none"):
        raise Failure(
            f'tool_choice={shown(choice)} is not supported; give "auto" or "none"',
            param="tool_choice",
        )
    tools = cast("list[dict[str, Any]]", body.get("tools") or [])
    for tool in tools:
        match tool:
            case {"type": "function", "function": {"name": str()}}:
                pass
            case _:
                raise Failure(
                    f"tools has {shown(tool)}, but each must be of type function, with a name",
                    param="tools",
                )
    return None if choice == "none" else tools or None


def _prompts(given: Any, served: Served) -> list[str | list[int]]:
    match given:
        case None | "" | []:
            raise Failure("prompt is missing or empty; give a text or ids", param="prompt")
        case str() | [int(), *_]:
            prompts = cast("list[str | list[int]]", [given])
        case _:
            prompts = cast("list[str | list[int]]", given)
    for prompt in prompts:
        if isinstance(prompt, str):
            if not prompt or not is_text(prompt):
                raise Failure(
                    "prompt has an empty text, or one with a lone surrogate; replace it",
                    param="prompt",
                )
        elif isinstance(prompt, list) and are_ids(prompt):  # pyright: ignore[reportUnnecessaryIsInstance] # it is JSON
            for id in prompt:
                check_known_id("prompt", id, served.rows)
        else:
            raise Failure(
                f"prompt has {shown(prompt)}, but must be a text, a list of ids, or a list of "
                "either",
                param="prompt",
            )
    return prompts


def _shared(body: Mapping[str, Any]) -> dict[str, Any]:
    streaming = cast("dict[str, Any]", body.get("stream_options") or {})
    if streaming and not body.get("stream"):
        raise Failure("stream_options needs stream=true; add it", param="stream_options")
    for name, value in streaming.items():
        if name in STREAMING and value is not None:
            check_field(f"stream_options.{name}", value, STREAMING[name])
    always = bool(streaming.get("continuous_usage_stats"))
    return {
        "stream": bool(body.get("stream")),
        "usage": always or bool(streaming.get("include_usage")),
        "usage_always": always,
        "parts": bool(body.get("uag_parts")),
        "salt": body.get("cache_salt") or "",
    }
