"""Commands for several processes that compute one model together."""

import os
import sys
from pathlib import Path

from tests.support.asgi import free_port
from tests.support.server_process import PYTHON


def torchrun(*arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs Python twice, and its environment."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    path = os.pathsep.join(
        [str(Path(__file__).parents[2]), PYTHON, os.environ.get("PYTHONPATH", "")]
    )
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return [*command, f"--master-port={free_port()}", *arguments], environment
