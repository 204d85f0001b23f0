"""What waits for the next kernel is there when torch reads it, and afterwards."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.support.kernels import on_host
from uag.models.engines.fused.kernels import Kernels
from uag.models.engines.fused.postponing import Postponing


@pytest.fixture
def kernels() -> Iterator[Kernels]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield on_host(torch.float32, 16)


READERS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x * 2,
    lambda x: x[..., 1:],
    lambda x: x.contiguous().clone(),
    lambda x: functional.linear(x, torch.ones(3, 32)),
    lambda x: torch.ops.aten.mul.Tensor(x, x),
    lambda x: torch.cat([x, x]),
    lambda x: x + 1.0,
    lambda x: x + x,
    torch.Tensor.tolist,  # type: ignore[list-item]
]


@pytest.mark.parametrize("read", READERS)
def test_torch_reads_what_was_added(kernels: Kernels, read: Callable[[Tensor], Tensor]) -> None:
    a, b = torch.randn(2, 1, 5, 32)
    with Postponing(kernels):
        total = a + b
        assert total.shape == a.shape and total.is_contiguous()
        got = read(total)
    true = read(a + b)
    assert got == true if isinstance(true, list) else torch.equal(got, true)


def test_what_waits_at_the_end_is_launched(kernels: Kernels) -> None:
    a, b = torch.randn(2, 1, 5, 32)
    with Postponing(kernels):
        total = a.add(b)
    assert torch.equal(total, a + b)


def test_after_an_error_nothing_waits(kernels: Kernels) -> None:
    a = torch.randn(1, 5, 32)
    with pytest.raises(TypeError), Postponing(kernels):
        (a + a)(a)
    assert not kernels.postpones
    kernels.flush()
    assert torch.equal(kernels.add(a, a), a + a)


def test_other_sums_are_torchs_own(kernels: Kernels) -> None:
    a = torch.randn(1, 5, 32)
    with Postponing(kernels):
        got = a + 1, a + a.double(), torch.add(a, a, alpha=2), a + a[:, :1]
    true = a + 1, a + a.double(), torch.add(a, a, alpha=2), a + a[:, :1]
    assert all(map(torch.equal, got, true))
