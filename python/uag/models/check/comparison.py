"""Whether two ways of reading a text give the same, up to what rounding may change."""

import torch
from torch import Tensor

# The largest relative difference that is rounding. In float32 right models differ by 2e-5; in half
# precision by a tenth, and where experts change by a half.
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.25}


class Comparison:
    """Compares logits and states with the true ones, up to what rounding may change.

    >>> true = torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    >>> same = Comparison(torch.float32)
    >>> same.logits(true + 1e-6, true), same.logits(true.flip(0), true)
    (True, False)
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """For a model whose numbers are of type `dtype`."""
        self._of_states = _tolerance(dtype)
        # `generate` rounds the logits of a float64 model to float32.
        given = torch.float32 if dtype == torch.float64 else dtype
        self._of_logits = _tolerance(given)
        self._eps = torch.finfo(given).eps

    def logits(self, got: Tensor, true: Tensor) -> bool:
        """Whether logits after several ids of a text are the same, `[ids, vocabulary]` each.

        What counts is how they vary along the text: an offset, or a constant for each token, says
        nothing. Tokens whose constant is so large that rounding it hides the rest are left out.
        """
        got, true = (torch.nan_to_num(each.double()) for each in (got, true))
        spread = true - true.mean(0)
        size = self._eps * true.abs().amax(0)
        clear = size <= self._of_logits * spread.square().mean(0).sqrt()
        got, true, spread = got[:, clear], true[:, clear], spread[:, clear]
        allowed = self._of_logits * float(spread.square().sum(-1).mean().sqrt())
        rounding = 16 * self._eps * float(true.square().sum(-1).mean().sqrt())
        return not true.numel() or float((got - true).square().sum(-1).max().sqrt()) <= max(
            allowed, rounding
        )

    def state(self, got: Tensor, true: Tensor) -> bool:
        """Whether two states of a layer are the same, of any shape."""
        got, true = (torch.nan_to_num(each.double()) for each in (got, true))
        return _size(got - true) <= self._of_states * _size(true)


def _tolerance(dtype: torch.dtype) -> float:
    return TOLERANCES.get(dtype, TOLERANCES[torch.bfloat16])


def _size(numbers: Tensor) -> float:
    return float(numbers.square().sum().sqrt())
