"""Kernels compile for every type of numbers, without a GPU, and what was compiled is kept."""

import sys
from pathlib import Path

import pytest
import torch

from uag.models.engines.fused import launcher
from uag.models.engines.fused.launcher import (
    AMPERE,
    HOPPER,
    NUMBERS,
    LaunchError,
    compiled,
    defined,
    file_of,
    has_tiles,
    sizes_of,
)

pytest.importorskip("cuda.bindings.nvrtc")
KINDS = ["rms_norm", "attend_16", "project_1", "project_gated_2", "project_normed", "most_likely"]
TURING = 7, 5


def code(name: str, capability: tuple[int, int], *sizes: int) -> bytes:
    file, *options = file_of(name)
    return compiled(file, capability, (*defined(sizes), *options))


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.cache_clear()
    monkeypatch.setattr(launcher, "_kept", lambda _: None)


@pytest.mark.parametrize("capability", [TURING, HOPPER])
@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_they_compile(name: str, dtype: torch.dtype, capability: tuple[int, int]) -> None:
    sizes = sizes_of(dtype, 128, 128)
    assert sizes is not None
    assert name.encode() in code(name, capability, *sizes)


@pytest.mark.parametrize("capability", [AMPERE, HOPPER])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_products_by_tensor_cores_compile(dtype: torch.dtype, capability: tuple[int, int]) -> None:
    sizes = sizes_of(dtype, 128, 128)
    assert sizes is not None and has_tiles(sizes)
    assert b"project_gated_up_to_16" in code("project_up_to_8", capability, *sizes)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("head", [16, 64, 80, 96, 256])
def test_attention_compiles_for_sizes_of_heads(dtype: torch.dtype, head: int) -> None:
    sizes = sizes_of(dtype, head, head)
    assert sizes is not None
    code("attend_16", TURING, *sizes)


def test_what_was_compiled_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launcher, "_kept", lambda name: tmp_path / f"{name}.cubin")
    sizes = sizes_of(torch.float32, 64, 64)
    assert sizes is not None
    first = code("rms_norm", HOPPER, *sizes)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"kept")
    compiled.cache_clear()
    assert code("rms_norm", HOPPER, *sizes) == b"kept" != first
    assert code("rms_norm", TURING, *sizes) != b"kept"


def test_what_the_compiler_refuses_has_a_name() -> None:
    with pytest.raises(LaunchError, match="NVRTC_ERROR"):
        compiled("small.cu", HOPPER, ("-DNUMBER=1", "-DHEAD=x y"))


def test_without_the_library_it_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
    with pytest.raises(ImportError):
        compiled("small.cu", HOPPER, ("-DNUMBER=0",))
