"""`uag serve`: its port, keys, and how it stops."""

import asyncio
import json
import signal
import socket
from typing import Any

import httpx
import pytest

from tests.support.command_line import run
from tests.support.server_process import ServerProcess, server_process
from uag.cli.commands import serve

LONG = {"prompt": "Once", "max_tokens": 200, "ignore_eos": True, "stream": True}


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = run(capsys, "serve", "--port", str(port))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"cannot listen on 127.0.0.1:{port}" in err and "--port" in err


def test_a_host_that_is_not_here_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "serve", "--host", "192.0.2.1", "--port", "0")
    assert (status, err.count("\n")) == (1, 1) and "cannot listen on 192.0.2.1" in err


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "NEEDED", ("starlette", "no_such_package"))
    status, _, err = run(capsys, "serve")
    assert (status, err.count("\n")) == (1, 1)
    assert "no_such_package" in err and "pip install 'uag-decoding[serve]'" in err


@pytest.mark.parametrize("key", ["two words", "clé", "\udcff"])
def test_a_key_that_no_header_can_carry(capsys: pytest.CaptureFixture[str], key: str) -> None:
    status, _, err = run(capsys, "serve", "--api-key", key)
    assert status == 2 and "--api-key" in err and key not in err


def test_texts_that_share_passes_have_no_trees(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "serve", "--tree", "15")
    assert status == 2 and "--batch-size 1" in err


async def read(client: httpx.AsyncClient, begun: asyncio.Event) -> list[str]:
    """The data of a stream."""
    data: list[str] = []
    async with client.stream("POST", "/v1/completions", json=LONG) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                data.append(line.removeprefix("data: "))
                begun.set()
    return data


async def stopped_under(server: ServerProcess, streams: int) -> list[list[str]]:
    """What clients got whose texts were under way when the server was told to stop."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        begun = [asyncio.Event() for _ in range(streams)]
        tasks = [asyncio.ensure_future(read(client, each)) for each in begun]
        await asyncio.gather(*(each.wait() for each in begun))
        server.stop()
        return await asyncio.gather(*tasks)


def test_texts_under_way_end_before_the_server() -> None:
    with server_process("--host", "0.0.0.0", "--name", "mine") as server:  # noqa: S104 # to be warned
        assert server.name == "mine"
        assert any("--api-key" in line for line in server.said)
        texts = asyncio.run(stopped_under(server, 4))
        status, said = server.ended()
        assert (status, said) == (0, "")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")
    for *parts, last in texts:
        assert last == "[DONE]"
        assert json.loads(parts[-1])["choices"][0]["finish_reason"] == "length"


def test_texts_that_take_longer_end_with_an_error() -> None:
    with server_process("--grace", "0.1") as server:
        assert server.name == "demo" and len(server.said) == 1
        texts = asyncio.run(stopped_under(server, 3))
        assert server.ended()[0] == 0
    for *_, last in texts:
        assert json.loads(last)["error"]["type"] == "unavailable_error"


def test_a_second_signal_ends_it_at_once() -> None:
    async def stop_twice(server: ServerProcess) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            begun = asyncio.Event()
            task = asyncio.ensure_future(read(client, begun))
            await begun.wait()
            server.stop(signal.SIGINT)
            await asyncio.sleep(0.3)
            server.stop(signal.SIGINT)
            with pytest.raises(httpx.HTTPError):
                await task

    with server_process() as server:
        started: Any = asyncio.run(stop_twice(server))
        assert started is None and server.ended(5)[0] == 1
