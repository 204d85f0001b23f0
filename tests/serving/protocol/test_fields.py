"""Fields that are wrong are a 400 that names the field, its value and what it may be."""

from typing import Any

import pytest

from tests.support.asgi import Local

MESSAGES = [{"role": "user", "content": "Once"}]
TOO_MANY = {str(id): 1 for id in range(4090, 4100)}
# (fields, the param of the error, a word of its message)
BOTH: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 0}, "n", "1 to 16"),
    ({"n": 17}, "n", "17"),
    ({"n": 1.5}, "n", "whole"),
    ({"n": True}, "n", "whole"),
    ({"n": 2, "temperature": 0}, "n", "greedy"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream": 1}, "stream", "true or false"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream=true"),
    (
        {"stream": True, "stream_options": {"include_usage": 3}},
        "stream_options.include_usage",
        "true or false",
    ),
    ({"stop": ["a"] * 5}, "stop", "up to 4"),
    ({"stop": [""]}, "stop", "1 to 1,024"),
    ({"stop": 3}, "stop", "text"),
    ({"seed": "x"}, "seed", "whole"),
    ({"seed": 2**63}, "seed", "2**63"),
    ({"temperature": -1}, "temperature", "-1"),
    ({"temperature": "hot"}, "temperature", "number"),
    ({"top_p": 0}, "top_p", "above 0"),
    ({"top_p": 1.01}, "top_p", "at most 1"),
    ({"top_k": -2}, "top_k", "whole"),
    ({"min_p": 2}, "min_p", "to 1"),
    ({"repetition_penalty": 0}, "repetition_penalty", "from 0.01"),
    ({"presence_penalty": 2.1}, "presence_penalty", "-2 to 2"),
    ({"frequency_penalty": "x"}, "frequency_penalty", "number"),
    ({"logit_bias": {"5": 101}}, "logit_bias", "-100 to 100"),
    ({"logit_bias": {"a": 1}}, "logit_bias", "ids"),
    ({"logit_bias": TOO_MANY}, "logit_bias", "4096"),
    ({"logit_bias": [5]}, "logit_bias", "object"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": "many"}, "max_tokens", "'many'"),
    ({"max_tokens": 10**9}, "max_tokens", "fewer"),
    ({"min_tokens": 5, "max_tokens": 4}, "min_tokens", "more than"),
    ({"stop_token_ids": [4096]}, "stop_token_ids", "4095"),
    ({"stop_token_ids": [-1]}, "stop_token_ids", "ids"),
    ({"response_format": {"type": "xml"}}, "response_format", "json_schema"),
    ({"response_format": {"type": "json_schema"}}, "response_format", "schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "foo"}}}},
        "response_format",
        "foo",
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"maximum": 10**40}},
            }
        },
        "response_format",
        "simplify",
    ),
    ({"response_format": {"type": "json_object"}, "ignore_eos": True}, "ignore_eos", "end"),
    ({"best_of": 3}, "best_of", "not supported"),
    ({"guided_json": {}}, "guided_json", "not supported"),
    ({"use_beam_search": True}, "use_beam_search", "not supported"),
    ({"prompt_logprobs": 1}, "prompt_logprobs", "not supported"),
]
CHATS: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "messages", "at least one"),
    ({"messages": None}, "messages", "missing"),
    ({"messages": "hi"}, "messages", "list of objects"),
    ({"messages": [{"role": "judge", "content": ""}]}, "messages[0].role", "'judge'"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role", "None"),
    ({"messages": [*MESSAGES, {"role": "user"}]}, "messages[1].content", "no content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "None"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content",
        "images",
    ),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty"),
    ({"messages": [{**MESSAGES[0], "name": 5}]}, "messages[0].name", "text"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
        "messages[0].tool_calls",
        "arguments",
    ),
    ({"top_logprobs": 3}, "top_logprobs", "logprobs=true"),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "20"),
    ({"logprobs": 1}, "logprobs", "true or false"),
    ({"tools": [{"type": "other"}]}, "tools", "function"),
    ({"tool_choice": "required"}, "tool_choice", "auto"),
    ({"tool_choice": {"type": "function"}}, "tool_choice", "auto"),
    ({"chat_template_kwargs": {"chat_template": "x"}}, "chat_template_kwargs", "leave it out"),
    ({"chat_template": "x"}, "chat_template", "not supported"),
    ({"functions": [{"name": "x"}]}, "functions", "not supported"),
    ({"modalities": ["audio"]}, "modalities", "not supported"),
    (
        {"continue_final_message": True, "add_generation_prompt": True},
        "continue_final_message",
        "exclude",
    ),
]
COMPLETIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": None}, "prompt", "missing"),
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": []}, "prompt", "empty"),
    ({"prompt": [""]}, "prompt", "empty"),
    ({"prompt": {"text": "hi"}}, "prompt", "list"),
    ({"prompt": [4096]}, "prompt", "4095"),
    ({"prompt": [-1]}, "prompt", "ids"),
    ({"prompt": [1, "a"]}, "prompt", "ids"),
    ({"prompt": ["a", 1]}, "prompt", "ids"),
    ({"prompt": [True]}, "prompt", "ids"),
    ({"prompt": ["Once"] * 81}, "prompt", "80"),
    ({"logprobs": 21}, "logprobs", "20"),
    ({"logprobs": True}, "logprobs", "whole"),
    ({"echo": True}, "echo", "not supported"),
    ({"suffix": "end"}, "suffix", "not supported"),
]


@pytest.mark.parametrize(("fields", "param", "word"), BOTH + COMPLETIONS)
def test_a_wrong_field_of_a_completion(
    local: Local, fields: dict[str, Any], param: str, word: str
) -> None:
    error = local.refused("/v1/completions", {"prompt": "Once"} | fields)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert word in error["message"]


@pytest.mark.parametrize(("fields", "param", "word"), BOTH + CHATS)
def test_a_wrong_field_of_a_chat(
    local: Local, fields: dict[str, Any], param: str, word: str
) -> None:
    error = local.refused("/v1/chat/completions", {"messages": MESSAGES} | fields)
    assert error["param"] == param and word in error["message"]


def test_an_unknown_variable_of_a_template(local: Local) -> None:
    body = {"messages": MESSAGES, "chat_template_kwargs": {"quiet": True}}
    assert "quiet" in local.refused("/v1/chat/completions", body)["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "me", "metadata": {"a": 1}, "store": True, "service_tier": "auto"},
        {"nobody": "knows", "reasoning_effort": "low"},
        {"best_of": 1, "echo": False, "suffix": None, "use_beam_search": False},
        {"length_penalty": 1.0, "skip_special_tokens": True, "prompt_logprobs": None},
        {"stop": None, "temperature": None, "top_p": None, "n": None, "seed": None},
        {"stop": [], "logit_bias": {}, "stop_token_ids": [], "min_tokens": 0},
        {"top_p": 1, "top_k": -1, "min_p": 0, "presence_penalty": 0, "frequency_penalty": 0.0},
        {"response_format": {"type": "text"}, "repetition_penalty": 1},
    ],
)
def test_fields_that_change_nothing(local: Local, fields: dict[str, Any]) -> None:
    body = {"prompt": "Once", "max_tokens": 5}
    assert local.complete(**body | fields)["choices"] == local.complete(**body)["choices"]


def test_ways_to_write_a_message(local: Local) -> None:
    (expected,) = local.chat(messages=MESSAGES, max_tokens=5)["choices"]
    parts = [{"type": "text", "text": "On"}, {"type": "text", "text": "ce"}]
    for message in (
        {"role": "user", "content": parts},
        {"role": "developer", "content": "Once"},
        {"role": "user", "content": "Once", "name": "me", "refusal": None, "audio": None},
    ):
        (choice,) = local.chat(messages=[message], max_completion_tokens=5)["choices"]
        assert choice["message"] == expected["message"]


def test_a_last_message_may_be_continued(local: Local) -> None:
    message = {"role": "assistant", "content": "Once upon"}
    (choice,) = local.chat(messages=[message], continue_final_message=True, max_tokens=5)["choices"]
    expected = local.complete(prompt="Once upon", max_tokens=5)["choices"][0]["text"]
    assert choice["message"]["content"] == expected
