"""Logits processors that follow a text: each call sees what is new of it."""

from torch import Tensor
from transformers import LogitsProcessor


class Following(LogitsProcessor):
    """Remembers how much of a text it has seen; the prompt is what its first call sees.

    >>> following = Following()
    >>> [following.new(torch.tensor([text])).tolist() for text in ([5, 6], [5, 6, 7, 8])]
    [[], [7, 8]]
    """

    def __init__(self) -> None:
        self._seen: int | None = None

    def new(self, input_ids: Tensor) -> Tensor:
        """The ids since the last call, of shape `[n]`, of `input_ids` `[1, length]`."""
        ids = input_ids[0]
        seen = len(ids) if self._seen is None else self._seen
        self._seen = len(ids)
        return ids[seen:]
