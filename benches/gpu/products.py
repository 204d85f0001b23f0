"""The products of one layer alone, by our kernels and by torch: each in a row of its own kind."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benches.gpu.clocks import captured, device_ms
from benches.gpu.models import Setting, Shape
from benches.gpu.record import Record, Values
from uag.models.engines.fused.fusion import LAUNCHERS
from uag.models.engines.fused.kernels import Kernels
from uag.models.engines.fused.launcher import sizes_of

WIDTHS = (1, 2, 4, 8, 16, 32)
# Numbers of a head, as in the widened models.
HEAD = 128
# Copies of a product's matrices, at least; and at most, if they are small.
LEAST, MOST = 3, 96
Product = Callable[[Tensor, Sequence[nn.Linear]], object]


def measure(record: Record, setting: Setting) -> None:
    """The part "products": microseconds of a layer's four products, by the number of ids."""
    kernels = kernels_for(setting.device)
    for name, shape in (setting.scale.targets | setting.scale.assistants).items():
        record.attempt(name, lambda shape=shape: of_shape(setting, shape, kernels))


def kernels_for(device: torch.device) -> Kernels | None:
    """Our kernels; `None` on a device that has none."""
    sizes = sizes_of(torch.bfloat16, HEAD, HEAD)
    if sizes is None or device.type not in LAUNCHERS:
        return None
    return Kernels(LAUNCHERS[device.type](device, sizes), torch.bfloat16, sizes)


@torch.no_grad()
def of_shape(setting: Setting, shape: Shape, kernels: Kernels | None) -> Values:
    """Microseconds of all four together, for each way and number of ids."""
    found: dict[str, float] = {}
    for layers in products_of(shape):
        count = setting.scale.copy // 8 // sum(2 * size * out for size, out in layers)
        copies = [made(setting, layers) for _ in range(min(MOST, max(LEAST, count)))]
        for width in WIDTHS:
            x = torch.randn(1, width, layers[0][0], dtype=torch.bfloat16, device=setting.device)
            ways: dict[str, Product] = {"torch": by_torch}
            if kernels is not None and kernels.projects(x):
                ways["kernels"] = by_kernels(kernels, gated=layers == products_of(shape)[2])
            for way, product in ways.items():
                run = captured(partial(in_a_row, product, x, copies), setting.device)
                us = 1e3 * device_ms(run, setting.device, setting.scale.repeats) / len(copies)
                key = f"{way}, {width} ids"
                found[key] = found.get(key, 0.0) + us
    return found


def products_of(shape: Shape) -> list[list[tuple[int, int]]]:
    """Sizes and rows of the matrices: query, key and value; output; gate and up; down."""
    own, keys = HEAD * shape.heads, HEAD * shape.kv_heads
    wide = shape.hidden, shape.intermediate
    return [
        [(shape.hidden, own), (shape.hidden, keys), (shape.hidden, keys)],
        [(own, shape.hidden)],
        [wide, wide],
        [(shape.intermediate, shape.hidden)],
    ]


def made(setting: Setting, layers: Sequence[tuple[int, int]]) -> list[nn.Linear]:
    with torch.device(setting.device):
        return [nn.Linear(*each, bias=False, dtype=torch.bfloat16) for each in layers]


def in_a_row(product: Product, x: Tensor, copies: Sequence[Sequence[nn.Linear]]) -> None:
    for layers in copies:
        product(x, layers)


def by_torch(x: Tensor, layers: Sequence[nn.Linear]) -> object:
    return [layer(x) for layer in layers]


def by_kernels(kernels: Kernels, *, gated: bool) -> Product:
    """As captured passes call them: a gate with what it lets through."""
    if gated:
        return lambda x, layers: kernels.project_gated(x, layers[0], layers[1], 0)
    return kernels.project
