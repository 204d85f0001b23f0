"""`uag serve` in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import uag

SERVING = re.compile(r"^uag: serving (\S+) at (http://\S+)$")
PYTHON = str(Path(uag.__file__).parents[1])


@dataclass
class ServerProcess:
    """A server, its address, and what it said until it was ready."""

    process: subprocess.Popen[str]
    name: str
    url: str
    said: list[str]

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(sent)

    def ended(self, seconds: float = 30) -> tuple[int, str]:
        """The exit status, and what was said at last."""
        _, said = self.process.communicate(timeout=seconds)
        return self.process.returncode, said


@contextmanager
def server_process(*arguments: str) -> Generator[ServerProcess]:
    """A server of the demo pair on a free port."""
    command = [sys.executable, "-m", "uag", "serve", "--port", "0", *arguments]
    paths = {"PYTHONPATH": PYTHON, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **paths}
    )
    try:
        said: list[str] = []
        for line in cast("IO[str]", process.stderr):
            said.append(line.rstrip())
            if found := SERVING.match(said[-1]):
                yield ServerProcess(process, *found.groups(), said)
                break
        else:
            raise AssertionError(said)
    finally:
        process.kill()
        process.communicate()
