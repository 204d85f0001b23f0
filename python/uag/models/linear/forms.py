"""The forms of a linear layer in float32: other kernels and orders of sums, the same results."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import linear

# Rows `[width, columns]`, a weight `[rows, columns]` and its bias or `None` -> `[width, rows]`.
Form = Callable[[Tensor, Tensor, Tensor | None], Tensor]

_mkldnn = cast("Any", torch.ops.mkldnn)


def turned(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The weight times the rows: BLAS has other kernels for a product with few columns."""
    product = (weight @ rows.T).T.contiguous()
    return product if bias is None else product.add_(bias)


def direct(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product of oneDNN, where torch itself takes that of BLAS."""
    return _mkldnn._linear_pointwise(rows.contiguous(), weight, bias, "none", [], "")


def direct_turned(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The weight times the rows, by oneDNN."""
    product = _mkldnn._linear_pointwise(weight, rows.contiguous(), None, "none", [], "")
    product = product.T.contiguous()
    return product if bias is None else product.add_(bias)


def forms() -> list[Form]:
    """The forms that this torch has; the first is the one that every layer has.

    >>> rows, weight = torch.randn(3, 5), torch.randn(7, 5)
    >>> all(form(rows, weight, None).allclose(rows @ weight.T, atol=1e-5) for form in forms())
    True
    """
    has_onednn = torch.backends.mkldnn.is_available() and hasattr(_mkldnn, "_linear_pointwise")
    return [linear, turned, *((direct, direct_turned) if has_onednn else ())]
