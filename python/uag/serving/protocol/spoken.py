"""What a reply says: content, reasoning and tool calls, told apart as they come."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from uuid import uuid4

# What response templates call the part that a client may hide.
REASONING = ("reasoning_content", "thinking")


@dataclass(frozen=True, slots=True)
class Said:
    """A part of a reply.

    Attributes:
        content: text.
        reasoning: text that came before it.
        calls: of tools, whole ones.
    """

    content: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __bool__(self) -> bool:
        return bool(self.content or self.reasoning or self.calls)

    def __add__(self, other: "Said") -> "Said":
        return Said(
            self.content + other.content,
            self.reasoning + other.reasoning,
            self.calls + other.calls,
        )


class Speech(Protocol):
    """Tells the parts of a reply apart."""

    def add(self, text: str) -> Said:
        """What new text says."""
        ...

    def end(self) -> Said:
        """What the rest says, as the text has ended."""
        ...


class Plain:
    """A reply that is content alone.

    >>> Plain().add("Hi!").content
    'Hi!'
    """

    def add(self, text: str) -> Said:
        return Said(text)

    def end(self) -> Said:
        return Said()


class Parsed:
    """A reply in the form of a model's response template, read by transformers' parser."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._calls = 0

    def add(self, text: str) -> Said:
        return self._said(self._parser.feed(text))

    def end(self) -> Said:
        try:
            _, events = self._parser.finalize()
        except ValueError:  # a part is missing: the text ended too early
            return Said()
        return self._said(events)

    def _said(self, events: Iterable[dict[str, Any]]) -> Said:
        said = Said()
        for event in events:
            match event:
                case {"type": "region_chunk", "dirty": True}:
                    pass  # a part of a call, which is given when it is whole
                case {"type": "region_chunk", "field": "content", "text": str(text)}:
                    said += Said(text)
                case {"type": "region_chunk", "field": name, "text": str(text)} if (
                    name in REASONING
                ):
                    said += Said(reasoning=text)
                case {"type": "region_close", "field": "tool_calls", "value": dict()}:
                    said += Said(calls=self._calls_of(event["value"]))
                case _:
                    pass
        return said

    def _calls_of(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        called = value.get("function")
        if not isinstance(called, dict) or "name" not in called:
            return []
        function = cast("dict[str, Any]", called)
        given = function.get("arguments", {})
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        number, self._calls = self._calls, self._calls + 1
        return [
            {
                "index": number,
                "id": f"call_{uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": str(function["name"]), "arguments": text},
            }
        ]
