"""Anthropic's dialect: /v1/messages, without what a server would have to keep."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from uag.serving.dialects.blocks import (
    TEXT,
    THINKING,
    TOOL,
    blocks_of,
    listed_objects,
    renamed,
    text_of,
)
from uag.serving.failures import Failure
from uag.serving.protocol.answers import Part, event
from uag.serving.protocol.asked import Asked
from uag.serving.protocol.requests import read_chat
from uag.serving.protocol.served import Served
from uag.serving.protocol.usage import Usage
from uag.values import shown

# Fields that a chat has too, and their names there.
NAMES = {
    **{name: name for name in ("model", "max_tokens", "stream", "temperature", "top_p", "top_k")},
    "stop_sequences": "stop",
}
REASONS = {"length": "max_tokens", "tool_calls": "tool_use"}
# A block as it begins: the key of its text, and the kind of its deltas.
KEYS = {THINKING: ("thinking", "thinking_delta"), TEXT: ("text", "text_delta")}


def read_message(body: Mapping[str, Any], served: Served, most: int | None) -> Asked:
    """A request of /v1/messages.

    Raises:
        Failure: 400, naming the field; 404 for another model.
    """
    return read_chat(as_chat(body), served, most)


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same request in the form of a chat.

    Raises:
        Failure: 400, naming the field.
    """
    messages: list[dict[str, Any]] = []
    if body.get("system"):
        messages.append({"role": "system", "content": text_of("system", body["system"], ("text",))})
    for number, message in enumerate(listed_objects("messages", body.get("messages"))):
        messages += _messages(f"messages[{number}].content", message)
    chat = renamed(body, NAMES) | {"messages": messages}
    if tools := listed_objects("tools", body.get("tools")):
        chat["tools"] = [_tool(tool) for tool in tools]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        chat["tool_choice"] = cast("dict[str, Any]", choice).get("type")
    return chat


def _messages(at: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A message, with what tools gave in messages of their own before it."""
    role, content = given.get("role"), given.get("content")
    if isinstance(content, str) or content is None:
        return [{"role": role, "content": content}]
    before: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    texts: list[str] = []
    for block in listed_objects(at, content):
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "tool_use", "id": id, "name": str(name)}:
                function = {"name": name, "arguments": json.dumps(block.get("input", {}))}
                calls.append({"id": str(id), "type": "function", "function": function})
            case {"type": "tool_result", "tool_use_id": str(id)}:
                text = text_of(at, block.get("content", ""), ("text",))
                before.append({"role": "tool", "tool_call_id": id, "content": text})
            case {"type": "thinking" | "redacted_thinking"}:
                pass  # templates leave it out
            case _:
                raise Failure(
                    f"{at} has {shown(block)}, but its blocks must be of type text, tool_use, "
                    "tool_result or thinking; images and documents are not read here",
                    param=at,
                )
    if before and not texts and not calls:
        return before
    message: dict[str, Any] = {"role": role, "content": "".join(texts)}
    return [*before, message | ({"tool_calls": calls} if calls else {})]


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    function = {
        "name": given.get("name"),
        "description": given.get("description", ""),
        "parameters": given.get("input_schema", {"type": "object"}),
    }
    return {"type": "function", "function": function}


@dataclass(slots=True)
class Message:
    """The form of an answer of /v1/messages.

    Attributes:
        served: the model.
        asked: the request.
        usage: of its text.
        id: of the answer.
    """

    served: Served
    asked: Asked
    usage: Usage
    id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    _open: str | None = None
    _count: int = 0
    _end: Part = field(default_factory=Part)

    def whole(self, texts: list[Part]) -> dict[str, Any]:
        """The message at once."""
        (part,) = texts
        content = [_block(kind, what) for kind, what in blocks_of(part.said)]
        return self._message(content) | _stopped(part)

    def began(self) -> Iterator[bytes]:
        """The message, still without content."""
        yield _event("message_start", message=self._message([]))

    def news(self, number: int, part: Part) -> Iterator[bytes]:
        """What is new, block by block."""
        del number  # there is one text
        for kind, what in blocks_of(part.said):
            if kind != self._open or kind == TOOL:
                yield from self._close()
                empty = (
                    {**what, "function": {**what["function"], "arguments": "{}"}}
                    if kind == TOOL
                    else ""
                )
                yield self._of_block("start", content_block=_block(kind, empty))
                self._open = kind
            yield self._of_block("delta", delta=_delta(kind, what))
        if part.finish is not None:
            self._end = part

    def ended(self) -> Iterator[bytes]:
        """The end of the last block and of the message."""
        yield from self._close()
        yield _event("message_delta", delta=_stopped(self._end), usage=self._usage())
        yield _event("message_stop")

    def failed(self, failure: Failure) -> bytes:
        """The event in place of the rest."""
        return _event("error", **failure.body)

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            yield self._of_block("stop")
            self._open = None
            self._count += 1

    def _of_block(self, step: str, **told: Any) -> bytes:
        return _event(f"content_block_{step}", index=self._count, **told)

    def _message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.served.name,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(),
        }

    def _usage(self) -> dict[str, Any]:
        return {
            "input_tokens": self.usage.prompt - self.usage.cached,
            "cache_read_input_tokens": self.usage.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": self.usage.new,
        }


def _event(type: str, /, **told: Any) -> bytes:
    return event({"type": type, **told}, type)


def _block(kind: str, what: Any) -> dict[str, Any]:
    if kind == TOOL:
        function = what["function"]
        given = _object(function["arguments"])
        return {"type": "tool_use", "id": what["id"], "name": function["name"], "input": given}
    extra = {"signature": ""} if kind == THINKING else {}
    return {"type": kind, KEYS[kind][0]: what, **extra}


def _object(text: str) -> dict[str, Any]:
    """The arguments of a call, which a model may have written wrongly."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"arguments": text}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"arguments": value}


def _delta(kind: str, what: Any) -> dict[str, Any]:
    if kind == TOOL:
        given = json.dumps(_object(what["function"]["arguments"]), ensure_ascii=False)
        return {"type": "input_json_delta", "partial_json": given}
    key, type = KEYS[kind]
    return {"type": type, key: what}


def _stopped(part: Part) -> dict[str, Any]:
    if isinstance(part.stop_reason, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": part.stop_reason}
    return {"stop_reason": REASONS.get(part.finish or "", "end_turn"), "stop_sequence": None}
