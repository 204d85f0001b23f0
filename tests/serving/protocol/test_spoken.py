"""Tool calls and reasoning are told apart from content, in a stream as in the whole."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils.chat_parsing import ResponseParser

from uag.serving.protocol.spoken import Parsed, Said

TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "assistant: ",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*<end>", "content": "text"},
    },
}
REPLY = (
    "<think>Which city?</think>Let me look."
    '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}</tool_call>\n'
    '<tool_call>{"name": "time", "arguments": {}}</tool_call><end>'
)


def said_of(pieces: Iterator[str] | list[str]) -> Said:
    speech, said = Parsed(ResponseParser(TEMPLATE, prefix="")), Said()
    for piece in pieces:
        said += speech.add(piece)
    return said + speech.end()


@given(st.lists(st.integers(0, len(REPLY)), max_size=12))
def test_any_pieces_say_the_same(places: list[int]) -> None:
    cuts = [0, *sorted(places), len(REPLY)]
    said = said_of(REPLY[start:end] for start, end in pairwise(cuts))
    assert (said.reasoning, said.content) == ("Which city?", "Let me look.")
    functions = [call["function"] for call in said.calls]
    assert [function["name"] for function in functions] == ["weather", "time"]
    assert json.loads(functions[0]["arguments"]) == {"city": "Köln"}
    assert [call["index"] for call in said.calls] == [0, 1]
    assert len({call["id"] for call in said.calls}) == 2


@pytest.mark.parametrize("end", [8, 30, 60, 100])
def test_a_text_that_ends_too_early_is_no_error(end: int) -> None:
    said = said_of([REPLY[:end]])
    assert "<" not in said.content
