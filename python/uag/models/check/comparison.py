"""Whether two ways of reading a text give the same, up to what rounding may change."""

import torch
from torch import Tensor

# The largest relative difference that is rounding. In float32 right models differ by 2e-5; in half
# precision by a tenth, and where experts change by a half.
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.25}
# Types in which rounding may change what a model chooses between.
HALF = torch.float16, torch.bfloat16
# By how many units in the last place a right logit may differ.
ROUNDINGS = 4


class Comparison:
    """Compares logits and states with the true ones, up to what rounding may change.

    >>> true = torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    >>> same = Comparison(torch.float32)
    >>> same.logits(true + 1e-6, true), same.logits(true.flip(0), true)
    (True, False)
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """For a model whose numbers are of type `dtype`."""
        self._of_states = tolerance(dtype)
        # `generate` rounds the logits of a float64 model to float32.
        given = torch.float32 if dtype == torch.float64 else dtype
        self._of_logits = tolerance(given)
        self._eps = torch.finfo(given).eps

    def logits(self, got: Tensor, true: Tensor) -> bool:
        """Whether logits after several ids of a text are the same, `[ids, vocabulary]` each.

        What counts is how they vary along the text: an offset, or a constant for each token, says
        nothing. The larger the constant of a token, the more of the rest rounding may change.
        """
        got, true = (torch.nan_to_num(each.double()) for each in (got, true))
        variation = float((true - true.mean(0)).square().mean().sqrt())
        rounding = ROUNDINGS * self._eps * true.abs().amax(0)
        allowed = rounding.clamp(min=self._of_logits * variation)
        excess = ((got - true) / allowed).square().mean(-1)
        return bool((excess <= 1).all()) or torch.equal(got, true)

    def state(self, got: Tensor, true: Tensor) -> bool:
        """Whether two states of a layer are the same, of any shape."""
        got, true = (torch.nan_to_num(each.double()) for each in (got, true))
        return _size(got - true) <= self._of_states * _size(true)


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative difference that is rounding, for numbers of a type.

    >>> tolerance(torch.float32)
    0.0001
    """
    return TOLERANCES.get(dtype, TOLERANCES[torch.bfloat16])


def _size(numbers: Tensor) -> float:
    return float(numbers.square().sum().sqrt())
