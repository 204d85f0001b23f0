"""Kernels that wait for the next one, which may do their work; and sums, which no module has."""

from types import TracebackType
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from uag.models.engines.fused.kernels import Kernels

SUMS = {torch.add, Tensor.add}
# Names of functions that read no numbers of a tensor; `__get__` is that of its properties.
READING_NOTHING = {
    "__get__", "__len__", "data_ptr", "dim", "is_contiguous", "numel", "size", "stride",
}  # fmt: skip


class Postponing(TorchFunctionMode):
    """Inside the `with` block kernels may wait for the next one, until torch computes something.

    Tensors like those of `kernels` are added by them: torch's own kernel would have all that
    follows wait for its end.
    """

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self._kernels = kernels

    def __enter__(self) -> Self:
        self._kernels.postpones = True
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cast("Any", super()).__exit__(kind, error, trace)
        self._kernels.postpones = False
        if error is None:
            self._kernels.flush()
        else:
            self._kernels.forget()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in SUMS and not kwargs and self._kernels.adds(*args):
            return self._kernels.add(*args)
        if getattr(func, "__name__", "") not in READING_NOTHING:
            self._kernels.flush()
        return func(*args, **(kwargs or {}))
