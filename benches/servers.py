"""Servers of OpenAI's form in processes of their own: uag's and transformers'."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import socket
from time import perf_counter
from typing import Any

import httpx
import psutil

from benches.clients import Heard, ask

PATH = "/v1/completions"
UAG, ASSISTED = "uag", "uag + assistant"
# Seconds for a server to load its models.
START = 300.0
# Seconds for its processes to end.
END = 20.0


@dataclass(frozen=True)
class Kind:
    """A server to start.

    Attributes:
        name: what it is called in tables.
        model: what it calls the model.
        command: after the interpreter.
        body: further fields of its requests.
    """

    name: str
    model: str
    command: list[str]
    body: dict[str, Any] = field(default_factory=dict[str, Any])


class Server:
    """A server that runs."""

    def __init__(
        self, kind: Kind, process: subprocess.Popen[bytes], client: httpx.AsyncClient
    ) -> None:
        self.kind, self._process, self._client = kind, process, client
        self._asked = 0

    async def complete(self, prompt: str, new: int, **further: Any) -> Heard:
        """Have a prompt continued by `new` tokens."""
        body = {"model": self.kind.model, "prompt": prompt, "max_tokens": new, "temperature": 0}
        return await ask(self._client, PATH, body | self.kind.body | further)

    async def complete_alone(self, prompt: str, new: int) -> Heard:
        """The same, sharing nothing with earlier requests."""
        self._asked += 1
        salt = {"cache_salt": str(self._asked)} if self.kind.name in (UAG, ASSISTED) else {}
        return await self.complete(prompt, new, **salt)

    @property
    def processor_seconds(self) -> float:
        """Of the process and its children so far."""
        times = [each.cpu_times() for each in _tree(self._process.pid)]
        return sum(each.user + each.system for each in times)

    @property
    def bytes(self) -> int:
        """Resident memory of the process and its children."""
        return sum(each.memory_info().rss for each in _tree(self._process.pid))


def _tree(pid: int) -> list[psutil.Process]:
    """A process and all its children; none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


@asynccontextmanager
async def running(kind: Kind) -> AsyncGenerator[Server]:
    """Start a server on a free port, wait until it is healthy, and end it at last."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, *kind.command, "--port", str(port)]
        process = _started(command, log)
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=None) as client:  # noqa: S113 # slow
                await _healthy(process, client, log)
                yield Server(kind, process, client)
        finally:
            _end(process)


def _started(command: list[str], log: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


async def _healthy(process: subprocess.Popen[bytes], client: httpx.AsyncClient, log: Any) -> None:
    start = perf_counter()
    while perf_counter() - start < START and process.poll() is None:
        try:
            if (await client.get("/health")).is_success:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.2)
    log.seek(0)
    last = (log.read().strip().splitlines() or ["it said nothing"])[-1]
    raise RuntimeError(f"did not come up: {last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    everything = _tree(process.pid)
    process.terminate()
    _, alive = psutil.wait_procs(everything, timeout=END)
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def kinds(target: str, assistant: str, dtype: str, new: int) -> list[Kind]:
    """The servers; each text has `new` tokens."""
    ours = ["-m", "uag", "serve", target, "--name", target, "--dtype", dtype]
    whole = {"ignore_eos": True}
    theirs = ["-c", "from transformers.cli.transformers import main; main()", "serve", target]
    theirs += ["--dtype", dtype, "--log-level", "error"]
    batching = ["--continuous-batching", "--attn-implementation", "sdpa"]
    # They refuse `ignore_eos`: no text ends at an id that there is not.
    greedy = {"do_sample": False, "max_new_tokens": new, "eos_token_id": -1, "pad_token_id": 0}
    config = {"generation_config": json.dumps(greedy)}
    return [
        Kind(UAG, target, ours, whole),
        Kind(ASSISTED, target, [*ours, "--assistant", assistant], whole),
        Kind("transformers", target, theirs, config),
        Kind("transformers, batching", target, [*theirs, *batching], config),
    ]
