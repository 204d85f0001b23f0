"""No body makes the server fail: whatever is sent, the answer is right or says what is wrong."""

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from tests.support.asgi import serving, until
from uag import SpeculativeDecoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

BASES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"prompt": "Once upon", "max_tokens": 3, "temperature": 0.5, "n": 1,
                         "stop": ["x"], "seed": 3, "logprobs": 1, "stream": False,
                         "stream_options": None, "logit_bias": {"5": 1}, "top_p": 0.9}),
    ("/v1/completions", {"prompt": [["Once"], [5, 6]], "max_tokens": 3, "stop_token_ids": [5],
                         "response_format": {"type": "json_object"}, "ignore_eos": False}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3,
                              "logprobs": True, "top_logprobs": 2, "min_p": 0.1, "top_k": 5,
                              "presence_penalty": 1, "frequency_penalty": 1,
                              "repetition_penalty": 1.1, "min_tokens": 1,
                              "tools": [{"type": "function", "function": {"name": "f"}}],
                              "chat_template_kwargs": {"loud": True}}),
    ("/v1/chat/completions", {"messages": [{"role": "assistant", "content": [
                                  {"type": "text", "text": "Hi"}], "tool_calls": [{
                                      "function": {"name": "f", "arguments": "{}"}}]}],
                              "max_completion_tokens": 3, "response_format": {
                                  "type": "json_schema", "json_schema": {"name": "x", "schema": {
                                      "type": "object", "properties": {"a": {}}}}}}),
    ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text",
                                                               "text": "Hi"}]},
                                 {"type": "function_call", "call_id": "x", "name": "f",
                                  "arguments": "{}"},
                                 {"type": "function_call_output", "call_id": "x", "output": "1"}],
                       "instructions": "Be brief.", "max_output_tokens": 3, "stream": False,
                       "tools": [{"type": "function", "name": "f", "parameters": {}}],
                       "text": {"format": {"type": "text"}}}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant",
                          "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]},
                          {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x",
                                                        "content": "1"}]}],
                      "system": "Be brief.", "max_tokens": 3, "stop_sequences": ["x"],
                      "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {
                          "type": "auto"}}),
    ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/tokenize", {"prompt": "Once", "add_special_tokens": True, "messages": None}),
    ("/detokenize", {"tokens": [5, 6, 7]}),
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 17, 2**31, 2**63, -(2**63), 10**40, 0.5, -0.0, 1e308, 5e-324,
    "", "a", "Once", "\u0000", "🙂" * 50, "x" * 3000, [], {}, [[]], [{}], [None], {"": ""},
    [0, 1], [-1], [10**9], ["a", 5], {"a": {"b": []}}, {"type": "object"}, {"$ref": "#"},
    {"type": "array", "items": {"$ref": "#"}}, {"pattern": "(a+)+$", "type": "string"}, "auto",
    "\u202e\x1b[2J", "NaN", [[5], "b"], [True], {"5": "x"}, {"99999": 1},
]  # fmt: skip


def mutated(chance: random.Random) -> tuple[str, bytes]:
    """A path, and a body in which some values, keys or bytes are others."""
    path, base = chance.choice(BASES)
    body = json.loads(json.dumps(base))
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        here: Any = body
        while True:
            keys = [*here] if isinstance(here, dict) else [*range(len(here))]
            if not keys:
                break
            key = chance.choice(keys)
            inner = here[key]
            if isinstance(inner, dict | list) and inner and chance.random() < 0.6:
                here = inner
                continue
            match chance.randrange(6):
                case 0:
                    del here[key]
                case 1 if isinstance(here, dict):
                    here[chance.choice(["x", "best_of", "echo", "stream", "type", "n"])] = inner
                case _:
                    here[key] = json.loads(json.dumps(chance.choice(ODD)))
            break
    data = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(data))
        data = data[:at] + bytes([chance.randrange(256)]) + data[at + chance.randrange(3) :]
    return path, data


async def asked(url: str, bodies: list[tuple[str, bytes]]) -> list[tuple[bytes, httpx.Response]]:
    """The answers, in order, over connections that stay open."""
    answers: list[tuple[bytes, httpx.Response]] = []
    waiting = iter(bodies)
    headers = {"content-type": "application/json"}

    async def one(client: httpx.AsyncClient) -> None:
        for path, body in waiting:
            answer = await client.post(path, content=body, headers=headers)
            answers.append((body, answer))

    limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(8)))
    return answers


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_no_body_is_a_failure_of_the_server(
    engine: Any, decoder: SpeculativeDecoder, count: int
) -> None:
    chance = random.Random(count)
    settings = Settings(name="demo", most_texts=80, most_tokens=8)
    with serving(build(engine, settings)) as url:
        answers = asyncio.run(asked(url, [mutated(chance) for _ in range(count)]))
        assert len(answers) == count
        for body, answer in answers:
            assert answer.status_code < 500, (body, answer.text)
            if answer.status_code != 200:
                assert answer.json()["error"]["message"], body
        assert len({answer.status_code for _, answer in answers}) > 1
        until(lambda: engine.running + engine.queued == 0)
        prompts = ["Once", "One day", "The dog", "A girl"] * 2
        bodies = [json.dumps({"prompt": each, "max_tokens": 8}).encode() for each in prompts]
        right = asyncio.run(asked(url, [("/v1/completions", body) for body in bodies]))
    texts = {body: answer.json()["choices"][0]["text"] for body, answer in right}
    for prompt, body in zip(prompts, bodies, strict=True):
        assert texts[body] == decoder.generate(prompt, max_new_tokens=8).text
