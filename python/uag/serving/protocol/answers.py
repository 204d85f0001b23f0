"""Texts as they are decoded, and what is answered of them in JSON."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import time
from typing import Any, Protocol
from uuid import uuid4

from uag.decoding.output import Output
from uag.serving.failures import Failure
from uag.serving.processors.logprobs import Likelihood, Record, extended
from uag.serving.protocol.asked import Asked
from uag.serving.protocol.served import Served
from uag.serving.protocol.spoken import Parsed, Plain, Said, Speech
from uag.serving.protocol.stop_text import StopText
from uag.serving.protocol.usage import Usage
from uag.serving.reply import Ended, Piece
from uag.stats import Round

# JSON has no infinity: the log-probability of a token that was not allowed, as vLLM gives it.
IMPOSSIBLE = -9999.0
REASONS = {"length": "length"}
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """What is new of one text.

    Attributes:
        said: content, reasoning and tool calls.
        likely: for each new id, how likely it was.
        parts: the text by who wrote it: pieces, and whether the assistant drafted them.
        finish: why the text has ended; `None` if it goes on.
        stop_reason: the stop string or id that ended it.
    """

    said: Said = field(default_factory=Said)
    likely: list[tuple[int, Likelihood]] = field(default_factory=list[tuple[int, Likelihood]])
    parts: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    finish: str | None = None
    stop_reason: int | str | None = None

    def __add__(self, other: "Part") -> "Part":
        return Part(
            self.said + other.said,
            self.likely + other.likely,
            self.parts + other.parts,
            other.finish,
            other.stop_reason,
        )

    @property
    def tells(self) -> bool:
        """Whether there is something to send."""
        return bool(self.said) or self.finish is not None


class Text:
    """One text: what its pieces say, up to a stop string.

    Args:
        served: the model.
        asked: the request.
        prompt: the ids of the text's prompt.
        record: of log-probabilities, if they are asked for.
    """

    def __init__(
        self, served: Served, asked: Asked, prompt: list[int], record: Record | None
    ) -> None:
        self._served = served
        self._record = record
        self._path = 0
        self._stop = StopText(asked.sampling.stops, keep=asked.sampling.keep_stop)
        parser = served.new_parser(prompt, asked.tools) if asked.is_chat else None
        self._speech: Speech = Plain() if parser is None else Parsed(parser)
        self._literal = None if parser is None else _Literal(served, prompt)
        self._drafted = served.text_after(prompt) if asked.parts else None
        self._given = 0
        self._calls = False

    def add(self, piece: Piece) -> Part:
        """What a piece adds."""
        self._given += len(piece.text)
        return self._part(piece.text, piece.rounds)

    def end(self, ended: Ended) -> Part:
        """What the end adds, with the reason."""
        output = ended.output
        part = self._part(output.text[self._given :], ended.rounds)
        rest = self._literal.end() if self._literal else ""
        last = self._stop.add(rest) + self._stop.end()
        said = part.said + self._speech.add(last) + self._speech.end()
        self._calls |= bool(said.calls)
        parts = [(text, False)] if self._drafted and (text := self._drafted.end()) else []
        finish, reason = self._ending(output)
        return Part(said, part.likely, part.parts + parts, finish, reason)

    def _part(self, text: str, rounds: list[Round]) -> Part:
        if self._literal is not None:
            text = "".join(self._literal.add(done.tokens) for done in rounds)
        said = self._speech.add(self._stop.add(text)) if text else Said()
        self._calls |= bool(said.calls)
        return Part(said, self._likely(rounds), self._by_writer(rounds))

    def _likely(self, rounds: list[Round]) -> list[tuple[int, Likelihood]]:
        found: list[tuple[int, Likelihood]] = []
        if self._record is None:
            return found
        for done in rounds:
            for place, id in enumerate(done.tokens):
                likely = self._record.read(self._path, id)
                self._path = extended(self._path, id)
                ends = done.ending is not None and done.ending.reason == "eos"
                if likely is not None and not (ends and place == len(done.tokens) - 1):
                    found.append((id, likely))
        return found

    def _by_writer(self, rounds: list[Round]) -> list[tuple[str, bool]]:
        if self._drafted is None:
            return []
        both = [
            (self._drafted.add(ids), drafted) for done in rounds for ids, drafted in done.by_writer
        ]
        return [(text, drafted) for text, drafted in both if text]

    def _ending(self, output: Output) -> tuple[str, int | str | None]:
        if self._stop.found is not None:
            return "stop", self._stop.found
        if self._calls:
            return "tool_calls", None
        by = output.stop_reason
        told = by if output.finish_reason == "stop_string" or by not in self._served.ends else None
        return REASONS.get(output.finish_reason, "stop"), told


class _Literal:
    """Ids as text, with the names of special tokens: what response templates are written for."""

    def __init__(self, served: Served, prompt: list[int]) -> None:
        self._served = served
        self._text = served.text_after(prompt)

    def add(self, ids: list[int]) -> str:
        served = self._served
        return "".join(
            served.token(id) if served.is_special(id) else self._text.add([id]) for id in ids
        )

    def end(self) -> str:
        return self._text.end()


def event(told: dict[str, Any], name: str = "") -> bytes:
    r"""Something as a server-sent event.

    >>> event({"n": 1}), event({}, "ping")
    (b'data: {"n": 1}\n\n', b'event: ping\ndata: {}\n\n')
    """
    kind = f"event: {name}\n" if name else ""
    return f"{kind}data: {json.dumps(told, ensure_ascii=False, allow_nan=False)}\n\n".encode()


class Form(Protocol):
    """The form of an answer."""

    asked: Asked
    usage: Usage

    def whole(self, texts: list[Part]) -> dict[str, Any]:
        """All texts at once."""
        ...

    def began(self) -> Iterator[bytes]:
        """The events with which a stream begins."""
        ...

    def news(self, number: int, part: Part) -> Iterator[bytes]:
        """The events for what is new of one text."""
        ...

    def ended(self) -> Iterator[bytes]:
        """The events after all texts."""
        ...

    def failed(self, failure: Failure) -> bytes:
        """The event in place of the rest."""
        ...


@dataclass(slots=True)
class Answer:
    """OpenAI's form of an answer: of a chat, or of a completion.

    Attributes:
        served: the model.
        asked: the request.
        usage: of all its texts.
        id, created: of the answer.
    """

    served: Served
    asked: Asked
    usage: Usage
    id: str = field(default_factory=lambda: uuid4().hex)
    created: int = field(default_factory=lambda: int(time()))

    @property
    def is_chat(self) -> bool:
        """Whether the request was a chat."""
        return self.asked.is_chat

    def whole(self, texts: list[Part]) -> dict[str, Any]:
        """All texts at once."""
        choices = [self._whole(number, part) for number, part in enumerate(texts)]
        told = {"choices": choices, "usage": self.usage.as_dict()}
        return self._head(chunk=False) | told | self.usage.extras()

    def began(self) -> Iterator[bytes]:
        """The events with which a stream begins."""
        delta = {"role": "assistant", "content": ""}
        for number in range(self.asked.sampling.count if self.is_chat else 0):
            yield event(self._chunk([{"index": number, "delta": delta, "finish_reason": None}]))

    def news(self, number: int, part: Part) -> Iterator[bytes]:
        """The events for what is new of one text."""
        yield event(self._chunk([self._new(number, part)]))

    def ended(self) -> Iterator[bytes]:
        """The events after all texts."""
        if self.asked.usage:
            told: dict[str, Any] = {"choices": [], "usage": self.usage.as_dict()}
            yield event(self._head(chunk=True) | told | self.usage.extras())
        yield DONE

    def failed(self, failure: Failure) -> bytes:
        """The event in place of the rest."""
        return event(failure.body)

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        told: dict[str, Any] = {"choices": choices}
        if self.asked.usage:
            told["usage"] = self.usage.as_dict() if self.asked.usage_always else None
        return self._head(chunk=True) | told

    def _head(self, *, chunk: bool) -> dict[str, Any]:
        if self.is_chat:
            id, kind = f"chatcmpl-{self.id}", "chat.completion" + ".chunk" * chunk
        else:
            id, kind = f"cmpl-{self.id}", "text_completion"
        return {
            "id": id,
            "object": kind,
            "created": self.created,
            "model": self.served.name,
            "system_fingerprint": None,
        }

    def _whole(self, number: int, part: Part) -> dict[str, Any]:
        if not self.is_chat:
            return self._end(number, part) | {"text": part.said.content}
        calls = [
            {name: value for name, value in call.items() if name != "index"}
            for call in part.said.calls
        ]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": part.said.content if part.said.content or not calls else None,
            "refusal": None,
        }
        if part.said.reasoning:
            message["reasoning_content"] = part.said.reasoning
        if calls:
            message["tool_calls"] = calls
        return self._end(number, part) | {"message": message}

    def _new(self, number: int, part: Part) -> dict[str, Any]:
        if not self.is_chat:
            return self._end(number, part) | {"text": part.said.content}
        delta: dict[str, Any] = {}
        if part.said.content:
            delta["content"] = part.said.content
        if part.said.reasoning:
            delta["reasoning_content"] = part.said.reasoning
        if part.said.calls:
            delta["tool_calls"] = part.said.calls
        return self._end(number, part) | {"delta": delta}

    def _end(self, number: int, part: Part) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": number,
            "logprobs": self._logprobs(part),
            "finish_reason": part.finish,
            "stop_reason": part.stop_reason,
        }
        if self.asked.parts:
            choice["uag_parts"] = part.parts
        return choice

    def _logprobs(self, part: Part) -> dict[str, Any] | None:
        if self.asked.sampling.alternatives is None:
            return None
        if self.is_chat:
            return {"content": [self._token(*each) for each in part.likely], "refusal": None}
        tokens = [self.served.token(id) for id, _ in part.likely]
        return {
            "tokens": tokens,
            "token_logprobs": [_finite(likely.logprob) for _, likely in part.likely],
            "top_logprobs": [
                {self.served.token(id): _finite(value) for id, value in likely.top}
                for _, likely in part.likely
            ],
            "text_offset": [sum(map(len, tokens[:place])) for place in range(len(tokens))],
        }

    def _token(self, id: int, likely: Likelihood) -> dict[str, Any]:
        told = self._described(id, likely.logprob)
        return told | {"top_logprobs": [self._described(*each) for each in likely.top]}

    def _described(self, id: int, logprob: float) -> dict[str, Any]:
        return {
            "token": self.served.token(id),
            "logprob": _finite(logprob),
            "bytes": [*self.served.token_bytes(id)],
        }


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else IMPOSSIBLE
