"""Passes of a model whose linear layers take their fastest form; the model itself stays as it is.

For a pass such a layer has a `forward` of its own, which calls torch's for other threads. Hooks run
as always. Layers of other classes, such as quantised ones, are left alone, and so is a layer whose
`forward` somebody has replaced.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from uag.models.linear.fastest import Fastest, fastest_of

# A pass over one id is `generate`'s in every bit; over many, a product is bound by arithmetic.
WIDTHS = range(2, 65)
# Numbers of a weight below which a choice costs more than it brings.
LARGE = 2**20

Forward = Callable[[Tensor], Tensor]

_width: ContextVar[int] = ContextVar("width", default=0)  # of this thread's pass


class FastLayers:
    """The large linear layers of one model, and what stands for their `forward`."""

    def __init__(self, model: PreTrainedModel) -> None:
        modules: list[Any] = list(cast("Any", model).modules())
        self._layers: list[nn.Linear] = [
            each
            for each in modules
            if type(each) is nn.Linear and each.weight.numel() >= LARGE and _is_dense(each.weight)
        ]
        self._forwards: dict[tuple[int, int], list[tuple[nn.Linear, Fastest, Forward]]] = {}

    @contextmanager
    def inside(self, width: int) -> Generator[None]:
        """Inside the `with` block this thread's passes over `width` ids take the fastest forms."""
        changed = [each for each in self._of(width) if not each[1].is_own]
        token = _width.set(width)
        try:
            for layer, _, forward in changed:
                vars(layer).setdefault("forward", forward)
            yield
        finally:
            _width.reset(token)
            for layer, _, forward in changed:
                if vars(layer).get("forward") is forward:
                    vars(layer).pop("forward", None)

    def _of(self, width: int) -> list[tuple[nn.Linear, Fastest, Forward]]:
        case = width, torch.get_num_threads()
        if (known := self._forwards.get(case)) is None:
            found = [(layer, fastest_of(layer.weight, *case)) for layer in self._layers]
            known = [(layer, each, _forward(layer, width, each)) for layer, each in found]
            self._forwards[case] = known
        return known


def _is_dense(weight: object) -> bool:
    """Whether a weight is an ordinary one of float32, on a CPU.

    In bfloat16 no form was enough faster to pay for other ties.
    """
    return (
        type(weight) is nn.Parameter
        and weight.device.type == "cpu"
        and weight.layout == torch.strided
        and weight.dtype == torch.float32
        and weight.is_contiguous()
    )


def _forward(layer: nn.Linear, width: int, fastest: Fastest) -> Forward:
    """What stands for the `forward` of a layer in passes of a width."""

    def forward(input: Tensor) -> Tensor:
        weight = layer.weight
        if (
            _width.get() == width
            and type(input) is Tensor
            and input.numel() == width * weight.shape[-1]
            and input.dtype == torch.float32
            and _is_dense(weight)
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        ):
            result = fastest(input.reshape(width, -1), weight, layer.bias)
            return result.view(*input.shape[:-1], -1)
        return nn.Linear.forward(layer, input)

    return forward


_layers: WeakKeyDictionary[PreTrainedModel, FastLayers] = WeakKeyDictionary()


@contextmanager
def fast_layers(model: PreTrainedModel, width: int) -> Generator[None]:
    """Inside the `with` block this thread's passes of a model over `width` ids may choose forms.

    >>> with torch.no_grad(), fast_layers(target, width=4):
    ...     logits = target(torch.tensor([[5, 6, 7, 8]])).logits
    """
    if width not in WIDTHS or torch.is_grad_enabled():
        yield
        return
    if (layers := _layers.get(model)) is None:
        layers = _layers[model] = FastLayers(model)
    with layers.inside(width):
        yield
