"""Kernels that wait for the next one, which may do their work; and what no module has."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from uag.models.engines.fused.kernels import Kernels

SUMS = {torch.add, Tensor.add}
CHOICES = {torch.argmax, Tensor.argmax}
# Names of functions that read no numbers of a tensor; `__get__` is that of its properties.
READING_NOTHING = {
    "__get__", "__len__", "data_ptr", "dim", "is_contiguous", "numel", "size", "stride",
}  # fmt: skip
# These give a part of a tensor, which is read later.
VIEWS = {Tensor.narrow}


class Postponing(TorchFunctionMode):
    """Inside the `with` block kernels may wait for the next one, until torch computes something.

    Tensors like those of `kernels` are added by them, and the largest number of one is found:
    torch's own kernel would have all that follows wait for its end. Masks wait for someone to read
    them, in vain where kernels attend.
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
            self._kernels.waiting.flush()
        self._kernels.waiting.forget()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options: dict[str, Any] = kwargs or {}
        if func is Tensor.__getitem__ and _is_whole(*args):
            return args[0]
        if reads := getattr(func, "__name__", "") not in READING_NOTHING:
            self._kernels.waiting.show(*_tensors(args), *_tensors(options.values()))
        if func in SUMS and not options and self._kernels.adds(*args):
            return self._kernels.add(*args)
        if func in CHOICES and args[1:] == (-1,) and not options and self._kernels.chooses(args[0]):
            return self._kernels.most_likely(args[0])
        if reads and func not in VIEWS:
            self._kernels.waiting.flush()
        return func(*args, **options)


def _is_whole(x: Tensor, index: object) -> bool:
    """Whether an index takes all of a tensor, as where the last id of a single one is asked for."""
    if not isinstance(index, tuple) or len(cast("tuple[Any, ...]", index)) > x.dim():
        return False
    axes = zip(cast("tuple[Any, ...]", index), x.shape, strict=False)
    return all(isinstance(each, slice) and range(size)[each] == range(size) for each, size in axes)


def _tensors(values: Iterable[object]) -> Iterator[Tensor]:
    """The tensors of arguments, also of those that are lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(cast("Iterable[object]", value))
