"""What is generated over HTTP is what `generate` gives, whole or as a stream."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.asgi import Local, events
from uag import Chat, SpeculativeDecoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": PROMPT}]
SAMPLED: dict[str, Any] = {"temperature": 0.8, "seed": 7, "top_p": 0.95}
THE_SAME = {"do_sample": True, "temperature": 0.8, "seed": 7, "top_p": 0.95, "top_k": 0}


@pytest.mark.parametrize(("fields", "options"), [({}, {"do_sample": False}), (SAMPLED, THE_SAME)])
def test_a_text_is_that_of_generate(
    local: Local, decoder: SpeculativeDecoder, fields: dict[str, Any], options: dict[str, Any]
) -> None:
    alone = decoder.generate(PROMPT, max_new_tokens=24, **options)
    body = {"prompt": PROMPT, "max_tokens": 24} | fields
    whole = local.complete(**body)
    assert whole["choices"][0]["text"] == alone.text
    assert whole["usage"]["completion_tokens"] == len(alone.token_ids)
    streamed = events(local.post("/v1/completions", body | {"stream": True}).text)
    assert "".join(each["choices"][0]["text"] for each in streamed) == alone.text
    assert [each["choices"][0]["finish_reason"] for each in streamed][-1] == "length"
    assert all("usage" not in each for each in streamed)


def test_a_reply_is_that_of_generate(local: Local, decoder: SpeculativeDecoder) -> None:
    chat = Chat(MESSAGES, loud=True)
    alone = decoder.generate(chat, max_new_tokens=24)
    body = {"messages": MESSAGES, "max_tokens": 24, "chat_template_kwargs": {"loud": True}}
    (choice,) = local.chat(**body)["choices"]
    assert choice["message"]["content"] == alone.text
    answer = local.post("/v1/chat/completions", body | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, *others = events(answer.text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in others) == alone.text
    assert others[-1]["choices"][0]["finish_reason"] == "length"
    assert len({each["id"] for each in (first, *others)}) == 1


def test_several_texts_of_several_prompts(local: Local, decoder: SpeculativeDecoder) -> None:
    ids = decoder.tokenizer.encode("One day")
    prompts = ["Once", ids]
    alone = decoder.generate(
        prompts, num_return_sequences=2, max_new_tokens=12, do_sample=True, seed=5, top_k=0,
        temperature=1.0,
    )  # fmt: skip
    body = {"prompt": prompts, "n": 2, "max_tokens": 12, "seed": 5, "temperature": 1}
    choices = local.complete(**body)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert [choice["text"] for choice in choices] == [out.text for out in alone]
    texts = [""] * 4
    for each in events(local.post("/v1/completions", body | {"stream": True}).text):
        (choice,) = each["choices"]
        texts[choice["index"]] += choice["text"]
    assert texts == [out.text for out in alone]


def test_the_end_of_a_text(local: Local) -> None:
    ending = {"prompt": "They were happy. The end"}
    ended = local.complete(**ending, max_tokens=20)
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert ended["usage"]["completion_tokens"] < 10
    assert local.complete(**ending)["choices"] == ended["choices"]  # up to the window
    longer = local.complete(**ending, max_tokens=20, ignore_eos=True)
    assert longer["usage"]["completion_tokens"] == 20
    longer = local.complete(**ending, max_tokens=20, min_tokens=12)
    assert 12 <= longer["usage"]["completion_tokens"] <= 20


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_is_left_out(
    local: Local, decoder: SpeculativeDecoder, *, stream: bool
) -> None:
    text = decoder.generate(PROMPT, max_new_tokens=40).text
    body = {"prompt": PROMPT, "max_tokens": 40, "stop": ["girl named", "zebra"]}
    assert "girl named" in text
    for keep, expected in ((False, ""), (True, "girl named")):
        asked = body | {"include_stop_str_in_output": keep, "stream": stream}
        answer = local.post("/v1/completions", asked)
        parts = events(answer.text) if stream else [answer.json()]
        choices = [each["choices"][0] for each in parts]
        assert "".join(each["text"] for each in choices) == text.partition("girl")[0] + expected
        assert choices[-1]["finish_reason"] == "stop"
        assert choices[-1]["stop_reason"] == "girl named"


def test_an_id_that_stops(local: Local, decoder: SpeculativeDecoder) -> None:
    stop = decoder.generate(PROMPT, max_new_tokens=12).token_ids[8]
    whole = local.complete(prompt=PROMPT, max_tokens=40, stop_token_ids=[stop])
    (choice,) = whole["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)
    assert whole["usage"]["completion_tokens"] <= 9


def test_usage_in_a_stream(local: Local) -> None:
    body = {"prompt": PROMPT, "max_tokens": 30, "stream": True}
    options = {"include_usage": True, "continuous_usage_stats": True}
    expected = local.complete(**body | {"stream": False})["usage"]
    *parts, last = events(
        local.post("/v1/completions", body | {"stream_options": {"include_usage": True}}).text
    )
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 30
    assert {name: last["usage"][name] for name in ("prompt_tokens", "total_tokens")} == {
        name: expected[name] for name in ("prompt_tokens", "total_tokens")
    }
    assert all(part["usage"] is None for part in parts)
    assert last["metrics"]["speculative_decoding"]["mean_acceptance_length"] >= 1
    assert last["timings"]["predicted_n"] == 30
    streamed = events(local.post("/v1/completions", body | {"stream_options": options}).text)
    counts = [each["usage"]["completion_tokens"] for each in streamed]
    assert counts == sorted(counts) and counts[-1] == 30


def test_who_wrote_which_part(local: Local) -> None:
    body = {"prompt": PROMPT, "max_tokens": 60, "stream": True, "uag_parts": True}
    choices = [each["choices"][0] for each in events(local.post("/v1/completions", body).text)]
    parts = [part for choice in choices for part in choice["uag_parts"]]
    assert "".join(text for text, _ in parts) == "".join(each["text"] for each in choices)
    assert {drafted for _, drafted in parts} == {True, False}


def test_a_prompt_that_is_too_long(local: Local) -> None:
    for body in (
        {"prompt": "dog " * 600},
        {"prompt": "dog " * 300, "max_tokens": 400},
        {"messages": [{"role": "user", "content": "dog " * 600}]},
        {"messages": [{"role": "user", "content": "dog " * 300}], "max_completion_tokens": 400},
    ):
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        assert local.refused(path, body)["code"] == "context_length_exceeded"


def test_a_limit_of_the_server_for_new_tokens(engine: Any) -> None:
    local = Local(build(engine, Settings(name="demo", most_tokens=10)))
    text = "dog " * 250 + "girl " * 250
    (near,) = local.complete(prompt=text)["choices"]
    used = local.complete(prompt=text)["usage"]
    assert (near["finish_reason"], used["total_tokens"]) == ("length", 512)
    chat = {"messages": [{"role": "user", "content": "dog " * 600}]}
    assert local.refused("/v1/chat/completions", chat)["code"] == "context_length_exceeded"
    assert local.complete(prompt="Once")["usage"]["completion_tokens"] == 10
    error = local.refused("/v1/completions", {"prompt": "Once", "max_tokens": 11})
    assert error["param"] == "max_tokens" and "--max-tokens" in error["message"]


def test_time_that_is_up(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Local(build(engine, Settings(name="demo", timeout=0.0)))
    for stream in (False, True):
        answer = local.post("/v1/completions", {"prompt": PROMPT, "stream": stream})
        assert answer.status_code == 504 and answer.json()["error"]["code"] == "timeout"


def test_comments_while_nothing_comes(engine: Any) -> None:
    local = Local(build(engine, Settings(name="demo", ping=0.001)))
    body = {"prompt": PROMPT, "max_tokens": 60, "stream": True}
    text = local.post("/v1/completions", body).text
    assert ": ping\n\n" in text
    assert "".join(each["choices"][0]["text"] for each in events(text))


def test_chats_and_completions_at_the_same_time(engine: Any, decoder: SpeculativeDecoder) -> None:
    app = build(engine, Settings(name="demo"))
    prompts = ["Once", "One day", "The dog", "A girl"]

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            bodies = [{"prompt": prompt, "max_tokens": 16} for prompt in prompts]
            answers = await asyncio.gather(
                *(client.post("/v1/completions", json=body) for body in bodies)
            )
        return [answer.json()["choices"][0]["text"] for answer in answers]

    expected = [decoder.generate(prompt, max_new_tokens=16).text for prompt in prompts]
    assert asyncio.run(ask()) == expected
