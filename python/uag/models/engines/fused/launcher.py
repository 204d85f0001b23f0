"""Compiles kernels for a device, and launches them: no compiler but CUDA's own library.

NVRTC comes with torch, and cuda-bindings, which calls it, with newer versions of it. Where either
is absent there are no kernels, and passes are captured as the model computes them. What was
compiled is kept in huggingface_hub's folder for what libraries keep.
"""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from huggingface_hub import cached_assets_path
from torch import Tensor

from uag.errors import FileError
from uag.files import write_bytes

# Which file a kernel is in; the others are in the first one.
SMALL, ATTENTION, PRODUCTS, TILES = "small.cu", "attention.cu", "products.cu", "tiles.cu"
NORMED, CHOICE = "normed.cu", "choice.cu"
FILES = {
    "attend_4": ATTENTION,
    "attend_16": ATTENTION,
    "join": ATTENTION,
    "project_normed": NORMED,
    "project_gated_normed": NORMED,
    "most_likely": CHOICE,
    "end_step": CHOICE,
    "draw": CHOICE,
}
# The files that multiply matrices, whose sources share what the others do not.
MULTIPLYING = PRODUCTS, TILES, NORMED
# The values of NUMBER.
NUMBERS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
# Threads of a block of `attend`, and how many queries it holds, at most and for a few.
THREADS = 128
QUERIES, FEW_QUERIES = 16, 4
# Memory that the blocks of an attention hold keys and values in, in bytes, of the 48 KiB they have.
MOST_HELD = 33 << 10
# How many keys a block holds, at most and at least.
MOST_KEYS, LEAST_KEYS = 32, 8
# The first compute capability whose kernels may begin before those launched earlier have ended.
HOPPER = 9, 0
# The first one whose tensor cores multiply as `tiles.cu` asks them to.
AMPERE = 8, 0
Shape = tuple[int, int, int]
Argument = Tensor | float | None


class LaunchError(RuntimeError):
    """CUDA refused to compile or launch a kernel."""


class Launcher(Protocol):
    """Launches kernels by their names.

    Attributes:
        has_tiles: whether it launches those of `tiles.cu`.
    """

    has_tiles: bool

    def launch(self, name: str, grid: Shape, block: int, *args: Argument) -> None:
        """Launch a kernel, of `grid` blocks of `block` threads, after what was launched before.

        Raises:
            LaunchError: if CUDA refuses.
        """
        ...


class CudaLauncher:
    """Launches on the current stream of a device; for one type of numbers and size of heads."""

    def __init__(self, device: torch.device, sizes: tuple[int, ...]) -> None:
        """`sizes`: as `sizes_of` gives them.

        Raises:
            ImportError: without cuda-bindings.
            LaunchError: if the kernels cannot be compiled.
        """
        driver: Any = import_module("cuda.bindings.driver")
        self._device = device
        self._sizes = sizes
        self._driver = driver
        self._modules: dict[tuple[str, ...], Any] = {}
        self._kernels: dict[str, Any] = {}
        capability = torch.cuda.get_device_capability(device)
        self._attributes = [_early(driver)] if capability >= HOPPER else []
        self.has_tiles = capability >= AMPERE and has_tiles(sizes)
        with torch.cuda.device(device):
            self._kernel("rms_norm")  # what cannot be compiled is known at once

    def launch(self, name: str, grid: Shape, block: int, *args: Argument) -> None:
        values, kinds = zip(*map(as_argument, args), strict=True)
        with torch.cuda.device(self._device):
            kernel = self._kernels.get(name) or self._kernel(name)
            config = self._driver.CUlaunchConfig()
            config.gridDimX, config.gridDimY, config.gridDimZ = grid
            config.blockDimX, config.blockDimY, config.blockDimZ = block, 1, 1
            config.hStream = torch.cuda.current_stream().cuda_stream
            config.attrs, config.numAttrs = self._attributes, len(self._attributes)
            _checked(self._driver.cuLaunchKernelEx(config, kernel, (values, kinds), 0))

    def _kernel(self, name: str) -> Any:
        """A kernel for the current device, which is the launcher's."""
        file, *options = file_of(name)
        if (file, *options) not in self._modules:
            torch.cuda.current_stream().synchronize()  # there is a context from here on
            capability = torch.cuda.get_device_capability()
            code = compiled(file, capability, (*defined(self._sizes), *options))
            self._modules[file, *options] = _checked(self._driver.cuModuleLoadData(code))
        module = self._modules[file, *options]
        kernel = _checked(self._driver.cuModuleGetFunction(module, name.encode()))
        return self._kernels.setdefault(name, kernel)


def _early(driver: Any) -> Any:
    """The attribute of launches by which a kernel begins early (see `numbers.cuh`)."""
    attribute = driver.CUlaunchAttribute()
    ids = driver.CUlaunchAttributeID
    attribute.id = ids.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
    attribute.value.programmaticStreamSerializationAllowed = 1
    return attribute


def file_of(name: str) -> tuple[str, ...]:
    """The file of a kernel, and the compiler's options for it.

    >>> file_of("project_gated_2"), file_of("rotate")
    (('products.cu', '-DPRODUCTS=OF_WIDTH(2)'), ('small.cu',))
    """
    if "_up_to_" in name:
        return (TILES,)
    if name in FILES or not name.startswith("project"):
        return (FILES.get(name, SMALL),)
    return PRODUCTS, f"-DPRODUCTS=OF_WIDTH({name.rpartition('_')[2]})"


def as_argument(value: Argument) -> tuple[int | float, Any]:
    """A kernel's argument, and its type in C: an address (0 for `None`), an int or a float.

    >>> as_argument(3)
    (3, <class 'ctypes.c_int'>)
    """
    if value is None or isinstance(value, Tensor):
        return 0 if value is None else value.data_ptr(), ctypes.c_void_p
    return value, ctypes.c_int if isinstance(value, int) else ctypes.c_float


def sizes_of(dtype: torch.dtype, head: int, value: int) -> tuple[int, ...] | None:
    """What the kernels are compiled for; `None` if they are not written for that.

    >>> sizes_of(torch.bfloat16, head=128, value=128)
    (1, 128, 128, 32, 128)
    >>> sizes_of(torch.float32, head=256, value=256)[3]
    8
    >>> sizes_of(torch.bfloat16, head=28, value=28)
    """
    packed = 16 // dtype.itemsize
    if dtype not in NUMBERS or head % packed or value % packed:
        return None
    keys = MOST_KEYS
    while keys * (head + value) * dtype.itemsize + QUERIES * head * 4 > MOST_HELD:
        keys //= 2
    return (NUMBERS[dtype], head, value, keys, THREADS) if keys >= LEAST_KEYS else None


def has_tiles(sizes: tuple[int, ...]) -> bool:
    """Whether tensor cores multiply numbers of the type of `sizes_of`, without rounding them.

    >>> [has_tiles(sizes_of(dtype, 64, 64)) for dtype in (torch.bfloat16, torch.float32)]
    [True, False]
    """
    return sizes[0] != NUMBERS[torch.float32]


def defined(sizes: tuple[int, ...]) -> list[str]:
    """The compiler's options for the sizes of `sizes_of`."""
    names = ("NUMBER", "HEAD", "VALUE", "KEYS", "THREADS")
    return [f"-D{name}={size}" for name, size in zip(names, sizes, strict=True)]


@cache
def source_of(file: str) -> str:
    """The source of a file of kernels, what it shares with the others before it."""
    folder = resources.files(__package__ or __name__)
    shared = ("numbers.cuh", "matrices.cuh") if file in MULTIPLYING else ("numbers.cuh",)
    return "".join((folder / name).read_text("utf-8") for name in (*shared, file))


@cache
def compiled(file: str, capability: tuple[int, int], defined: tuple[str, ...]) -> bytes:
    """A file of kernels for a compute capability, as machine code: compiled once a machine.

    Raises:
        ImportError: without cuda-bindings or NVRTC.
        LaunchError: if the compiler refuses.
    """
    nvrtc: Any = import_module("cuda.bindings.nvrtc")
    options = [f"--gpu-architecture=sm_{capability[0]}{capability[1]}", *defined]
    about = source_of(file), options, _checked(nvrtc.nvrtcVersion())
    kept = _kept(sha256(repr(about).encode()).hexdigest()[:32])
    if kept is not None:
        with suppress(OSError):
            return kept.read_bytes()
    given = source_of(file).encode(), file.encode()
    program = _checked(nvrtc.nvrtcCreateProgram(*given, 0, [], []))
    _checked(nvrtc.nvrtcCompileProgram(program, len(options), [each.encode() for each in options]))
    code = b" " * cast("int", _checked(nvrtc.nvrtcGetCUBINSize(program)))
    _checked(nvrtc.nvrtcGetCUBIN(program, code))
    if kept is not None:
        with suppress(FileError):
            write_bytes(kept, code, "kernels")
    return code


def _kept(name: str) -> Path | None:
    """Where what was compiled is kept; `None` where no folder can be made."""
    try:
        return Path(cached_assets_path("uag", namespace="kernels")) / f"{name}.cubin"
    except OSError:
        return None


def _checked(answer: Sequence[Any]) -> Any:
    """What CUDA answered.

    Raises:
        LaunchError: if that is an error.
    """
    error, *values = answer
    if int(error):
        raise LaunchError(f"CUDA answered {error.name}")
    return values[0] if len(values) == 1 else tuple(values)
