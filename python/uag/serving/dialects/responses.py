"""OpenAI's newer dialect: /v1/responses, without what a server would have to keep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import time
from typing import Any, cast
from uuid import uuid4

from uag.serving.dialects.blocks import TEXT, TOOL, blocks_of, listed_objects, renamed, text_of
from uag.serving.failures import Failure
from uag.serving.protocol.answers import Part, event
from uag.serving.protocol.asked import Asked
from uag.serving.protocol.requests import read_chat
from uag.serving.protocol.served import Served
from uag.serving.protocol.usage import Usage
from uag.values import shown

# Fields that a chat has too, and their names there.
NAMES = {
    **{name: name for name in ("model", "stream", "temperature", "top_p", "tool_choice", "seed")},
    "max_output_tokens": "max_tokens",
}
# What would need a memory, or to go on without the client.
KEPT = ("previous_response_id", "conversation", "prompt", "background")
TEXTS = ("input_text", "output_text", "text")


def read_response(body: Mapping[str, Any], served: Served, most: int | None) -> Asked:
    """A request of /v1/responses.

    Raises:
        Failure: 400, naming the field; 404 for another model.
    """
    for name in KEPT:
        if body.get(name):
            raise Failure(
                f"{name}={shown(body[name])} is not supported, as nothing is kept here: send the "
                "whole input each time",
                param=name,
            )
    return read_chat(as_chat(body), served, most)


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same request in the form of a chat.

    Raises:
        Failure: 400, naming the field.
    """
    messages: list[dict[str, Any]] = []
    if body.get("instructions"):
        text = text_of("instructions", body["instructions"], TEXTS)
        messages.append({"role": "system", "content": text})
    given = body.get("input")
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    else:
        for number, item in enumerate(listed_objects("input", given)):
            _add(messages, f"input[{number}]", item)
    chat = renamed(body, NAMES) | {"messages": messages}
    if tools := listed_objects("tools", body.get("tools")):
        chat["tools"] = [_tool(tool) for tool in tools]
    if (form := body.get("text")) is not None:
        chat["response_format"] = _format(form)
    return chat


def _add(messages: list[dict[str, Any]], at: str, item: Mapping[str, Any]) -> None:
    """Add an item to the messages. Calls belong to the message of the assistant before them."""
    match item:
        case {"type": "function_call", "call_id": str(id), "name": str(name)}:
            function = {"name": name, "arguments": item.get("arguments", "{}")}
            call = {"id": id, "type": "function", "function": function}
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": ""})
            messages[-1].setdefault("tool_calls", []).append(call)
        case {"type": "function_call_output", "call_id": str(id)}:
            text = text_of(f"{at}.output", item.get("output", ""), TEXTS)
            messages.append({"role": "tool", "tool_call_id": id, "content": text})
        case {"type": "reasoning"}:
            pass  # templates leave it out
        case {"role": role, "content": content} if item.get("type", "message") == "message":
            messages.append({"role": role, "content": text_of(f"{at}.content", content, TEXTS)})
        case _:
            raise Failure(
                f"{at} is {shown(item)}, but must be a message, a function_call, or a "
                "function_call_output",
                param=at,
            )


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("type") != "function":
        raise Failure(
            f"tools has {shown(given)}, but this server knows tools of type function only",
            param="tools",
        )
    names = ("name", "description", "parameters")
    function = {name: given[name] for name in names if given.get(name) is not None}
    return {"type": "function", "function": function}


def _format(given: Any) -> Any:
    form: Any = given.get("format") if hasattr(given, "get") else given
    if hasattr(form, "get") and "schema" in form:
        return {"type": "json_schema", "json_schema": form}
    return form


@dataclass(slots=True)
class Answered:
    """The form of an answer of /v1/responses.

    Attributes:
        served: the model.
        asked: the request.
        usage: of its text.
        id, created: of the answer.
    """

    served: Served
    asked: Asked
    usage: Usage
    id: str = field(default_factory=lambda: f"resp_{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time()))
    _items: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _open: dict[str, Any] | None = None
    _events: int = 0
    _end: Part = field(default_factory=Part)

    def whole(self, texts: list[Part]) -> dict[str, Any]:
        """The response at once."""
        (part,) = texts
        items = [_item(kind, what) for kind, what in blocks_of(part.said)]
        return self._response(items, part)

    def began(self) -> Iterator[bytes]:
        """The response, still without output."""
        for step in ("created", "in_progress"):
            yield self._event(f"response.{step}", response=self._response([], None))

    def news(self, number: int, part: Part) -> Iterator[bytes]:
        """What is new, item by item."""
        del number  # there is one text
        for kind, what in blocks_of(part.said):
            if self._open is None or self._open["type"] != _item(kind, what)["type"]:
                yield from self._close()
                yield from self._begin(_item(kind, what if kind == TOOL else ""))
            if kind == TOOL:
                yield from self._close()
            else:
                yield self._delta(kind, what)
        if part.finish is not None:
            self._end = part

    def ended(self) -> Iterator[bytes]:
        """The end of the last item and of the response."""
        yield from self._close()
        response = self._response(self._items, self._end)
        yield self._event(f"response.{response['status']}", response=response)

    def failed(self, failure: Failure) -> bytes:
        """The event in place of the rest."""
        error: dict[str, Any] = failure.body["error"]
        told = {name: error[name] for name in ("code", "message", "param")}
        return self._event("error", **told)

    def _begin(self, item: dict[str, Any]) -> Iterator[bytes]:
        self._open = item
        empty = item | {"status": "in_progress"}
        if item["type"] == "function_call":
            empty["arguments"] = ""
        else:
            empty["content"] = []
        yield self._of_item("output_item.added", item=empty)
        if item["type"] == "message":
            yield self._of_part("content_part.added", part=item["content"][0])

    def _delta(self, kind: str, text: str) -> bytes:
        item = cast("dict[str, Any]", self._open)
        item["content"][0]["text"] += text
        name = "output_text.delta" if kind == TEXT else "reasoning_text.delta"
        return self._of_part(name, delta=text)

    def _close(self) -> Iterator[bytes]:
        item = self._open
        if item is None:
            return
        if item["type"] == "function_call":
            given = item["arguments"]
            yield self._of_item("function_call_arguments.delta", item_id=item["id"], delta=given)
            yield self._of_item("function_call_arguments.done", item_id=item["id"],
                                name=item["name"], arguments=given)  # fmt: skip
        elif item["type"] == "message":
            part = item["content"][0]
            yield self._of_part("output_text.done", text=part["text"], logprobs=[])
            yield self._of_part("content_part.done", part=part)
        yield self._of_item("output_item.done", item=item)
        self._items.append(item)
        self._open = None

    def _of_part(self, step: str, /, **told: Any) -> bytes:
        item = cast("dict[str, Any]", self._open)
        return self._of_item(step, item_id=item["id"], content_index=0, **told)

    def _of_item(self, step: str, /, **told: Any) -> bytes:
        return self._event(f"response.{step}", output_index=len(self._items), **told)

    def _event(self, type: str, /, **told: Any) -> bytes:
        number, self._events = self._events, self._events + 1
        return event({"type": type, "sequence_number": number, **told}, type)

    def _response(self, items: list[dict[str, Any]], end: Part | None) -> dict[str, Any]:
        cut = end is not None and end.finish == "length"
        status = "in_progress" if end is None else "incomplete" if cut else "completed"
        options = self.asked.sampling.options
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "model": self.served.name,
            "output": items,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": options.get("temperature"),
            "top_p": options.get("top_p"),
            "tool_choice": "auto",
            "tools": [],
            "usage": None if end is None else self._usage(),
        }

    def _usage(self) -> dict[str, Any]:
        return {
            "input_tokens": self.usage.prompt,
            "input_tokens_details": {"cached_tokens": self.usage.cached, "cache_write_tokens": 0},
            "output_tokens": self.usage.new,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.usage.prompt + self.usage.new,
        }


def _item(kind: str, what: Any) -> dict[str, Any]:
    if kind == TOOL:
        function = what["function"]
        return {
            "id": f"fc_{uuid4().hex}",
            "type": "function_call",
            "status": "completed",
            "call_id": what["id"],
            "name": function["name"],
            "arguments": function["arguments"],
        }
    if kind == TEXT:
        part: dict[str, Any] = {
            "type": "output_text",
            "text": what,
            "annotations": [],
            "logprobs": [],
        }
        head = {"id": f"msg_{uuid4().hex}", "type": "message", "role": "assistant"}
        return {**head, "status": "completed", "content": [part]}
    content = [{"type": "reasoning_text", "text": what}]
    return {"id": f"rs_{uuid4().hex}", "type": "reasoning", "summary": [], "content": content}
