"""Sums of a layer's input and output, which no module computes: by a kernel, in captured passes."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from uag.models.engines.fused.kernels import Kernels

SUMS = {torch.add, Tensor.add}


class Residuals(TorchFunctionMode):
    """Inside the `with` block tensors like those of `kernels` are added by them.

    torch's own kernel would have all that follow it wait for its end.
    """

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self._kernels = kernels

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in SUMS and not kwargs and self._kernels.adds(*args):
            return self._kernels.add(*args)
        return func(*args, **(kwargs or {}))
