"""The kernels of captured passes, compiled for a CPU and run there: slow, and the same code."""

import ctypes
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.recorded import Recording
from uag.models.engines.fused import launcher
from uag.models.engines.fused.kernels import Kernels
from uag.models.engines.fused.launcher import (
    Argument,
    Shape,
    as_argument,
    defined,
    has_tiles,
    sizes_of,
)

HERE = Path(__file__).parent
KERNELS = Path(launcher.__file__).parent


@cache
def library(sizes: tuple[int, ...]) -> ctypes.CDLL:
    """All kernels with the sizes of `sizes_of`."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "kernels.so"
        subprocess.run(
            [os.environ.get("CXX", "c++"), "-std=c++20", "-O1", "-shared", "-fPIC",
             f"-I{KERNELS}", *defined(sizes), str(HERE / "host.cpp"), "-o", str(built)],
            check=True,
        )  # fmt: skip
        return ctypes.CDLL(str(built))


class HostLauncher:
    """A `Launcher` for a CPU; what is launched while a pass is recorded is replayed with it."""

    def __init__(self, device: torch.device, sizes: tuple[int, ...]) -> None:
        assert device.type == "cpu"
        self._library = library(sizes)
        self.has_tiles = has_tiles(sizes)

    def launch(self, name: str, grid: Shape, block: int, *args: Argument) -> None:
        shape = (ctypes.c_int * 4)(*grid, block)
        numbers = [kind(value) for value, kind in map(as_argument, args)]
        given = (ctypes.c_void_p * len(numbers))(*map(ctypes.addressof, numbers))

        def run(*kept: Any) -> None:
            del kept
            self._library[f"on_host_{name}"](shape, given)

        run()
        if recording := Recording.now:
            recording.calls.append((run, (args, numbers), {}, []))


def on_host(dtype: torch.dtype, head: int) -> Kernels:
    """The kernels for a type of numbers and a size of heads, on a CPU."""
    return _made(HostLauncher, "cpu", dtype, head)


def on_gpu(dtype: torch.dtype, head: int) -> Kernels:
    """The same on a GPU."""
    return _made(launcher.CudaLauncher, "cuda", dtype, head)


def _made(kind: Any, device: str, dtype: torch.dtype, head: int) -> Kernels:
    sizes = sizes_of(dtype, head, head)
    assert sizes is not None
    return Kernels(kind(torch.device(device), sizes), dtype, sizes)


def kernel_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """For a fixture: the names of all kernels that are launched on a CPU, as they are."""
    names: list[str] = []
    own = HostLauncher.launch

    def launch(self: HostLauncher, name: str, *args: Any) -> None:
        names.append(name)
        own(self, name, *args)

    monkeypatch.setattr(HostLauncher, "launch", launch)
    return names
