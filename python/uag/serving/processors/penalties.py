"""OpenAI's presence and frequency penalty, and biases of single tokens."""

from collections.abc import Mapping

import torch
from torch import Tensor

from uag.serving.processors.following import Following


class Penalties(Following):
    """Lowers the scores of tokens that the new text has already, and adds a bias to some.

    The prompt does not count. The counts grow with the text, so that a token costs the same at the
    end of a long text.

    >>> penalties = Penalties(presence=1.0, frequency=0.5)
    >>> for text in ([[3]], [[3, 1]], [[3, 1, 1]]):
    ...     scores = penalties(torch.tensor(text), torch.zeros(1, 4))
    >>> scores
    tensor([[ 0., -2.,  0.,  0.]])

    Args:
        presence: taken from the score of each token that is there.
        frequency: taken from it for each time that it is there.
        bias: added to the scores of these ids.
    """

    def __init__(
        self,
        presence: float = 0.0,
        frequency: float = 0.0,
        bias: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        self._presence = presence
        self._frequency = frequency
        self._bias = dict(bias or {})
        self._counts: Tensor | None = None
        self._added: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """The scores `[1, vocabulary]` after `input_ids` `[1, length]`."""
        new = self.new(input_ids)
        if self._counts is None or self._added is None:
            self._counts = torch.zeros(scores.shape[-1], device=scores.device)
            self._added = torch.zeros(scores.shape[-1], device=scores.device)
            for id, bias in self._bias.items():
                self._added[id] = bias
        self._counts.index_add_(0, new, torch.ones(len(new), device=new.device))
        taken = self._presence * (self._counts > 0) + self._frequency * self._counts
        return scores - taken + self._added
