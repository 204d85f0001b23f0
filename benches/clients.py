"""A client that asks servers of OpenAI's form, and notes when what came."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import Any

import httpx


@dataclass
class Heard:
    """One streamed answer.

    Attributes:
        times: seconds from the request to each event that has text.
        seconds: from the request to the end.
        text: all of it.
        usage: as the server says.
        drafts: `metrics.speculative_decoding`, of servers that draft.
    """

    times: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    text: str = ""
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    drafts: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def tokens(self) -> int:
        """New tokens."""
        return self.usage["completion_tokens"]

    @property
    def gaps(self) -> list[float]:
        """Seconds between events that have text."""
        return [after - before for before, after in pairwise(self.times)]


async def ask(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Heard:
    """Send a request that is answered as a stream, and read all of it."""
    heard, start = Heard(), perf_counter()
    whole = {**body, "stream": True, "stream_options": {"include_usage": True}}
    async with client.stream("POST", path, json=whole) as answer:
        if answer.is_error:
            said = (await answer.aread()).decode(errors="replace")
            raise RuntimeError(f"{answer.status_code} to {path}: {said[:500]}")
        async for event in _events(answer):
            if text := _text(event):
                heard.times.append(perf_counter() - start)
                heard.text += text
            heard.usage = event.get("usage") or heard.usage
            metrics: dict[str, Any] = event.get("metrics") or {}
            heard.drafts = metrics.get("speculative_decoding") or heard.drafts
    heard.seconds = perf_counter() - start
    return heard


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
            event: dict[str, Any] = json.loads(data)
            if "error" in event:
                raise RuntimeError(f"an error in a stream: {event['error']}")
            yield event


def _text(event: dict[str, Any]) -> str:
    choices: list[dict[str, Any]] = event.get("choices") or [{}]
    delta: dict[str, Any] = choices[0].get("delta") or {}
    return choices[0].get("text") or delta.get("content") or ""
