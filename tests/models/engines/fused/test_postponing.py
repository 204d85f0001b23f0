"""What waits for the next kernel is there when torch reads it, and afterwards."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.kernels import kernel_names, on_host
from uag.models.engines.fused.kernels import Kernels
from uag.models.engines.fused.postponing import Postponing


@pytest.fixture
def kernels() -> Iterator[Kernels]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield on_host(torch.float32, 16)


launched = pytest.fixture(kernel_names)


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


@pytest.mark.parametrize("read", READERS)
def test_torch_reads_normal_numbers_products_and_masks(
    kernels: Kernels, read: Callable[[Tensor], Tensor]
) -> None:
    x, weight, layer = torch.randn(1, 1, 32), torch.randn(32), nn.Linear(32, 32)
    begins = torch.tensor([20])

    makers: list[Callable[[], Tensor]] = [
        lambda: kernels.rms_norm(x, weight, 1e-5, offset=False),
        lambda: kernels.project(x, [layer])[0],
        lambda: kernels.mask(begins, 1, 32, 0),
    ]
    for make in makers:
        with Postponing(kernels):
            got = read(make())
        true = read(make())
        assert got == true if isinstance(true, list) else torch.equal(got, true)


def test_an_index_that_takes_all_of_a_tensor_reads_nothing(
    kernels: Kernels, launched: list[str]
) -> None:
    x, rows = torch.randn(1, 1, 32), torch.randn(1, 3, 32)
    with Postponing(kernels):
        total = x + x
        assert total[:, slice(-1, None), :] is total and total[:, 0:] is total
        assert not launched
        assert rows[:, slice(-3, None)] is rows
        parts = rows[:, -1:], rows[:, :2], rows[0], rows[:, None], rows[..., :], x[:, 1:]
    assert [each.shape for each in parts] == [
        (1, 1, 32), (1, 2, 32), (3, 32), (1, 1, 3, 32), (1, 3, 32), (1, 0, 32)
    ]  # fmt: skip


def test_a_mask_that_nobody_reads_is_never_written(kernels: Kernels, launched: list[str]) -> None:
    begins, x = torch.tensor([20]), torch.randn(1, 1, 32)
    with Postponing(kernels):
        masks = [kernels.mask(begins, 1, 32, window) for window in (0, 4)]
        assert masks[0].shape == (1, 1, 1, 32)
        x = x + x
        torch.stack([masks[1], masks[1]])
    assert launched == ["add", "masks"]
    torch.cat([masks[0], masks[1]])
    kernels.waiting.flush()
    assert launched == ["add", "masks"]


def test_the_likeliest_id_is_found_where_torch_would_be_asked(kernels: Kernels) -> None:
    logits = torch.randn(1, 90)
    rows = torch.randn(3, 90)
    with Postponing(kernels):
        got = logits.argmax(-1), logits.argmax(), rows.argmax(-1), logits.argmax(-1, keepdim=True)
    true = logits.argmax(-1), logits.argmax(), rows.argmax(-1), logits.argmax(-1, keepdim=True)
    assert all(map(torch.equal, got, true))


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
    kernels.waiting.flush()
    assert torch.equal(kernels.add(a, a), a + a)


def test_other_sums_are_torchs_own(kernels: Kernels) -> None:
    a = torch.randn(1, 5, 32)
    with Postponing(kernels):
        got = a + 1, a + a.double(), torch.add(a, a, alpha=2), a + a[:, :1]
    true = a + 1, a + a.double(), torch.add(a, a, alpha=2), a + a[:, :1]
    assert all(map(torch.equal, got, true))
