"""Runs the application on a port until a signal, and lets what is under way end."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import uvicorn

from uag.errors import UagError
from uag.serving.api.settings import Settings
from uag.serving.app import build

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds for the last events to reach their clients after the engine has ended all texts.
LAST_WORDS = 5
# How often it is looked whether the engine lives.
LOOK = 0.2
# Seconds that an idle connection is kept.
IDLE = 60


class ListenError(UagError):
    """A host and port cannot be listened on."""


def bound(host: str, port: int) -> socket.socket:
    """A socket at a host and port; port 0 is any free one. Nobody can connect to it yet.

    >>> with bound("127.0.0.1", 0) as free:
    ...     address_of(free).startswith("http://127.0.0.1:")
    True

    Raises:
        ListenError: if the port is taken, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(0)  # tells whether another process listens
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ListenError(
            f"cannot listen on {host}:{port}: {reason}; choose another --port or --host"
        ) from error
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    engine: Any,
    settings: Settings,
    listening: socket.socket,
    *,
    grace: float,
    ready: Callable[[], None],
) -> int:
    """Answer requests until SIGTERM or SIGINT; returns the status to exit with.

    At the signal no connections are taken any more, and texts have `grace` seconds to end. A second
    signal ends the process at once.

    Args:
        engine: a `ServingEngine` that was started; it is closed in the end.
        settings: what the server allows.
        listening: from `bound`.
        grace: seconds.
        ready: called when requests are answered.
    """
    try:
        return asyncio.run(_serve(engine, settings, listening, grace, ready))
    finally:
        engine.close(0)


async def _serve(
    engine: Any,
    settings: Settings,
    listening: socket.socket,
    grace: float,
    ready: Callable[[], None],
) -> int:
    config = uvicorn.Config(
        build(engine, settings),
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=max(1, round(grace + LAST_WORDS)),
    )
    server, closing = _Server(config), list[asyncio.Future[None]]()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if closing:
            os._exit(1)
        engine.drain()
        server.should_exit = True
        closing.append(asyncio.ensure_future(asyncio.to_thread(engine.close, grace)))

    with _signals(lambda: loop.call_soon_threadsafe(stop)):
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        told = False
        while not serving.done():
            if server.started and not told:
                told = True
                ready()
            if engine.state == "dead" and not closing:
                stop()
            await asyncio.wait([serving], timeout=LOOK if told else LOOK / 20)
        await serving
        await asyncio.gather(*closing)
    return 1 if engine.state == "dead" else 0


class _Server(uvicorn.Server):
    """uvicorn's server without its own handling of signals."""

    def capture_signals(self) -> Any:
        return nullcontext()


@contextmanager
def _signals(tell: Callable[[], object]) -> Generator[None]:
    """Call `tell` at each signal to stop."""

    def told(*_: object) -> None:
        tell()

    before = {each: signal.signal(each, told) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
