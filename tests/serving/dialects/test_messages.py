"""/v1/messages: whole, as a stream, with tools; errors in the form that its clients read."""

import json
from typing import Any

import pytest

from tests.serving.api.test_tools import local as tools_local  # noqa: F401 # a fixture
from tests.support.asgi import Local
from uag import SpeculativeDecoder

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": PROMPT}]
BODY: dict[str, Any] = {"model": "demo", "max_tokens": 20, "messages": MESSAGES}
TOOL = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object"}}


def streamed(local: Local, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream; each is named by its type."""
    text = local.post("/v1/messages", body | {"stream": True}).text
    found: list[dict[str, Any]] = []
    for part in text.split("\n\n")[:-1]:
        name, data = part.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def test_a_text(local: Local, decoder: SpeculativeDecoder) -> None:
    expected = decoder.generate(MESSAGES, max_new_tokens=20).text
    blocks = [{"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral"}}]
    for content in (PROMPT, blocks):
        body = BODY | {"messages": [{"role": "user", "content": content}]}
        whole = local.post("/v1/messages", body).json()
        assert whole["content"] == [{"type": "text", "text": expected}]
        assert (whole["stop_reason"], whole["stop_sequence"]) == ("max_tokens", None)
        usage = whole["usage"]
        assert usage["output_tokens"] == 20
        count = local.post("/v1/messages/count_tokens", body).json()["input_tokens"]
        assert usage["input_tokens"] + usage["cache_read_input_tokens"] == count


def test_a_stream(local: Local, decoder: SpeculativeDecoder) -> None:
    system = {"role": "system", "content": "Tell a story."}
    expected = decoder.generate([system, *MESSAGES], max_new_tokens=20).text
    events = streamed(local, BODY | {"system": [{"type": "text", "text": "Tell a story."}]})
    deltas = [each["delta"]["text"] for each in events if each["type"] == "content_block_delta"]
    assert "".join(deltas) == expected
    kinds = [each["type"] for each in events if each["type"] != "content_block_delta"]
    assert kinds == ["message_start", "content_block_start", "content_block_stop",
                     "message_delta", "message_stop"]  # fmt: skip
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert events[-2]["usage"]["output_tokens"] == 20


def test_a_stop_sequence(local: Local) -> None:
    text = local.post("/v1/messages", BODY).json()["content"][0]["text"]
    stop = text.split()[3]
    whole = local.post("/v1/messages", BODY | {"stop_sequences": [stop]}).json()
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", stop)
    assert stop not in whole["content"][0]["text"]


def test_tools(tools_local: Local) -> None:  # noqa: F811 # the fixture
    body = BODY | {"tools": [TOOL], "max_tokens": 200, "tool_choice": {"type": "auto"}}
    whole = tools_local.post("/v1/messages", body).json()
    thinking, text, call = whole["content"]
    assert (thinking["thinking"], text["text"]) == ("Hm.", "I look.")
    assert (call["name"], call["input"]) == ("weather", {"city": "Rome"})
    assert whole["stop_reason"] == "tool_use"
    events = streamed(tools_local, body)
    starts = [each["content_block"] for each in events if each["type"] == "content_block_start"]
    assert [each["type"] for each in starts] == ["thinking", "text", "tool_use"]
    assert starts[2]["input"] == {}
    deltas = [each["delta"] for each in events if each["type"] == "content_block_delta"]
    assert json.loads(deltas[-1]["partial_json"]) == {"city": "Rome"}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    messages = [*MESSAGES, {"role": "assistant", "content": whole["content"]},
                {"role": "user", "content": [result]}]  # fmt: skip
    counted = [
        tools_local.post("/v1/messages/count_tokens", body | {"messages": each}).json()
        for each in (MESSAGES, messages)
    ]
    assert counted[1]["input_tokens"] > counted[0]["input_tokens"]
    assert tools_local.post("/v1/messages", body | {"messages": messages}).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"max_tokens": 0},
        {"system": 5},
        {"tools": [{}]},
        {"tool_choice": {"type": "any"}},
        {"temperature": "hot"},
        {"stop_sequences": [5]},
    ],
)
def test_what_is_wrong_has_the_form_of_its_errors(local: Local, fields: dict[str, Any]) -> None:
    answer = local.post("/v1/messages", BODY | fields)
    assert answer.status_code == 400 and answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"]
