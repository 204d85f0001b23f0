"""Real clients over a real connection, and clients that leave."""

import asyncio
import socket
import threading
import time
from collections.abc import Generator
from typing import Any

import httpx
import huggingface_hub
import openai
import pytest

from tests.support.asgi import serving, until
from tests.support.serving import running
from uag import SpeculativeDecoder
from uag.serving.api.settings import Settings
from uag.serving.app import build

PROMPT = "Once upon a time"
LONG = {"prompt": "Once", "max_tokens": 500, "ignore_eos": True}


@pytest.fixture(scope="module")
def url(engine: Any) -> Generator[str]:
    app = build(engine, Settings(name="demo", keys=("secret",), most_bytes=100_000))
    with serving(app) as url:
        yield url


@pytest.fixture
def client(url: str) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0) as client:
        yield client


def test_openai_s_client(client: openai.OpenAI, decoder: SpeculativeDecoder) -> None:
    assert [model.id for model in client.models.list()] == ["demo"]
    expected = decoder.generate(PROMPT, max_new_tokens=20).text
    whole = client.completions.create(model="demo", prompt=PROMPT, max_tokens=20)
    assert whole.choices[0].text == expected
    stream = client.completions.create(model="demo", prompt=PROMPT, max_tokens=20, stream=True)
    assert "".join(each.choices[0].text for each in stream) == expected
    messages: Any = [{"role": "user", "content": PROMPT}]
    reply = client.chat.completions.create(model="demo", messages=messages, max_tokens=20)
    content = decoder.generate(messages, max_new_tokens=20).text
    assert reply.choices[0].message.content == content
    chunks = [*client.chat.completions.create(
        model="demo", messages=messages, max_tokens=20, stream=True,
        stream_options={"include_usage": True},
    )]  # fmt: skip
    *parts, last = chunks
    assert "".join(part.choices[0].delta.content or "" for part in parts) == content
    assert last.usage == reply.usage or last.usage.completion_tokens == 20


def test_openai_s_client_tells_errors_apart(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="demo", prompt=PROMPT, n=99)
    assert caught.value.param == "n" and "1 to 16" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="other", prompt=PROMPT)
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_hugging_face_s_client(
    url: str, decoder: SpeculativeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would ask nobody, not even this machine.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    client = huggingface_hub.InferenceClient(base_url=f"{url}/v1", api_key="secret")
    messages = [{"role": "user", "content": PROMPT}]
    expected = decoder.generate(messages, max_new_tokens=12).text
    whole = client.chat_completion(messages, model="demo", max_tokens=12)
    assert whole.choices[0].message.content == expected
    stream = client.chat_completion(messages, model="demo", max_tokens=12, stream=True)
    assert "".join(each.choices[0].delta.content or "" for each in stream) == expected


HEADERS = {"authorization": "Bearer secret"}


def test_of_200_at_once_as_many_as_there_are_places_are_answered(
    decoder: SpeculativeDecoder,
) -> None:
    async def ask(url: str) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        body = {"prompt": "Once", "max_tokens": 20}
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            return await asyncio.gather(
                *(client.post("/v1/completions", json=body) for _ in range(200))
            )

    answers: list[httpx.Response] = []
    asked = threading.Event()
    with running(decoder, batch_size=16, max_queued=16) as engine:
        engine._inbox.put(asked.wait)  # no text ends before the last client asks
        with serving(build(engine, Settings(name="demo"))) as url:
            clients = threading.Thread(target=lambda: answers.extend(asyncio.run(ask(url))))
            clients.start()
            until(lambda: metric(url, "uag_requests_rejected_total") == 168)
            asked.set()
            clients.join()
    until(lambda: engine.running + engine.queued == 0)
    texts = [answer.json()["choices"][0]["text"] for answer in answers if answer.is_success]
    assert texts == [decoder.generate("Once", max_new_tokens=20).text] * 32
    refused = [answer for answer in answers if not answer.is_success]
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    assert {answer.status_code for answer in refused} == {429} and len(refused) == 168


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_places(url: str, engine: Any, *, stream: bool) -> None:
    async def leave() -> None:
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60) as client:
            body = LONG | {"stream": stream, "n": 2, "temperature": 1}
            task = asyncio.ensure_future(client.post("/v1/completions", json=body))
            await asyncio.to_thread(until, lambda: engine.running == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    before = metric(url, "uag_requests_cancelled_total")
    asyncio.run(leave())
    until(lambda: engine.running + engine.queued == 0)
    until(lambda: metric(url, "uag_requests_cancelled_total") == before + 1)
    new = httpx.post(f"{url}/v1/completions", json={"prompt": "Once", "max_tokens": 2},
                     headers=HEADERS)  # fmt: skip
    assert new.json()["usage"]["completion_tokens"] == 2


def metric(url: str, name: str) -> float:
    text = httpx.get(f"{url}/metrics", headers=HEADERS).text
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def test_a_body_without_an_end_is_not_read_for_ever(url: str) -> None:
    def chunks() -> Generator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    answer = httpx.post(f"{url}/v1/completions", content=chunks(),
                        headers={**HEADERS, "content-type": "application/json"})  # fmt: skip
    assert answer.status_code == 413


def test_a_connection_lives_on_after_an_error(url: str) -> None:
    with httpx.Client(base_url=url, headers=HEADERS) as client:
        for body in (b"{", b'{"prompt": "Once", "n": 0}', b" " * 200_000):
            answer = client.post(
                "/v1/completions", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code in (400, 413)
            connection = answer.headers.get("connection")
            assert connection != "close"


def test_health_answers_while_texts_are_decoded(url: str, engine: Any) -> None:
    async def ask() -> list[float]:
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60) as client:
            bodies = [LONG | {"max_tokens": 60} for _ in range(8)]
            tasks = [
                asyncio.ensure_future(client.post("/v1/completions", json=body)) for body in bodies
            ]
            times: list[float] = []
            while not all(task.done() for task in tasks):
                begun = time.perf_counter()
                assert (await client.get("/health")).status_code == 200
                times.append(time.perf_counter() - begun)
                await asyncio.sleep(0.01)
            assert all(task.result().status_code == 200 for task in tasks)
            return times

    assert len(asyncio.run(ask())) > 3


def test_a_reader_that_does_not_read_holds_up_nobody(url: str, engine: Any) -> None:
    host, port = url.removeprefix("http://").split(":")
    body = b'{"prompt": "Once", "max_tokens": 300, "ignore_eos": true, "stream": true}'
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer secret\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.sendall(head.encode() + body)
        until(lambda: engine.running > 0)
        answer = httpx.post(f"{url}/v1/completions", json={"prompt": "Once", "max_tokens": 2},
                            headers=HEADERS, timeout=30)  # fmt: skip
        assert answer.status_code == 200
    until(lambda: engine.running + engine.queued == 0)
