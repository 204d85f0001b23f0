"""Requests to an application in this process, and to a server on a port of its own."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn


class Local:
    """Asks an application directly; each request has an event loop of its own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **given)

        return asyncio.run(request())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("GET", path, **given)

    def post(self, path: str, body: Any, **given: Any) -> httpx.Response:
        return self.ask("POST", path, json=body, **given)

    def complete(self, **body: Any) -> dict[str, Any]:
        answer = self.post("/v1/completions", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def chat(self, **body: Any) -> dict[str, Any]:
        answer = self.post("/v1/chat/completions", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, body: Any) -> dict[str, Any]:
        """The error of a request that is wrong."""
        answer = self.post(path, body)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]


def events(text: str) -> list[dict[str, Any]]:
    """The data of server-sent events, without the last one."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds that another thread brings about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(app: Any) -> Generator[str]:
    """A server of an application; gives its address."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
