"""/v1/responses through OpenAI's own client: whole, as a stream, with tools and schemas."""

import json
from collections.abc import Generator
from typing import Any

import openai
import pytest

from tests.serving.api.test_tools import local as tools_local  # noqa: F401 # a fixture
from tests.support.asgi import Local, serving
from uag import SpeculativeDecoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": PROMPT}]
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


@pytest.fixture(scope="module")
def client(engine: Any) -> Generator[openai.OpenAI]:
    with (
        serving(build(engine, Settings(name="demo"))) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def test_a_text(client: openai.OpenAI, decoder: SpeculativeDecoder) -> None:
    expected = decoder.generate(MESSAGES, max_new_tokens=20)
    parts = [{"type": "input_text", "text": PROMPT}]
    ways: list[Any] = [PROMPT, MESSAGES, [{"role": "user", "content": parts}]]
    for given in ways:
        whole = client.responses.create(model="demo", input=given, max_output_tokens=20)
        assert whole.output_text == expected.text
        assert whole.status == "incomplete"
        assert whole.incomplete_details.reason == "max_output_tokens"
        assert whole.usage.output_tokens == 20


def test_a_stream(client: openai.OpenAI, decoder: SpeculativeDecoder) -> None:
    system = {"role": "system", "content": "Tell a story."}
    expected = decoder.generate([system, *MESSAGES], max_new_tokens=20).text
    with client.responses.stream(
        model="demo", input=PROMPT, instructions="Tell a story.", max_output_tokens=20
    ) as stream:
        events = [*stream]
    deltas = [each.delta for each in events if each.type == "response.output_text.delta"]
    assert "".join(deltas) == expected
    (done,) = [each for each in events if each.type == "response.output_text.done"]
    assert done.text == expected
    kinds = [each.type for each in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.incomplete"
    assert events[-1].response.output[0].content[0].text == expected


def test_a_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    whole = client.responses.create(
        model="demo", input=PROMPT,
        text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}},
    )  # fmt: skip
    assert whole.status == "completed" and json.loads(whole.output_text)["a"] in (True, False)


def test_what_would_have_to_be_kept_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="demo", input=PROMPT, previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "messages"),
        ({"input": [5]}, "input"),
        ({"input": [{"type": "image"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"max_output_tokens": 0}, "max_tokens"),
        ({"text": {"format": {"type": "xml"}}}, "response_format"),
    ],
)
def test_what_is_wrong_is_named(local: Local, fields: dict[str, Any], param: str) -> None:
    assert local.refused("/v1/responses", {"input": "Hi"} | fields)["param"] == param


def test_tools(tools_local: Local) -> None:  # noqa: F811 # the fixture
    body: dict[str, Any] = {"input": "Rome?", "tools": [TOOL], "max_output_tokens": 200}
    whole = tools_local.post("/v1/responses", body).json()
    reasoning, message, call = whole["output"]
    assert reasoning["content"][0]["text"] == "Hm."
    assert message["content"][0]["text"] == "I look."
    assert (call["name"], json.loads(call["arguments"])) == ("weather", {"city": "Rome"})
    with (
        serving(tools_local.app) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client,
    ):
        with client.responses.stream(model="demo", **body) as stream:
            streamed = [*stream][-1].response.output
        assert [each.type for each in streamed] == ["reasoning", "message", "function_call"]
        assert json.loads(streamed[2].arguments) == {"city": "Rome"}
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        again = client.responses.create(
            model="demo", input=[{"role": "user", "content": "Rome?"}, *whole["output"], output],
            max_output_tokens=200,
        )  # fmt: skip
        assert again.usage.input_tokens > whole["usage"]["input_tokens"] - 60
