"""When a generation ends: end-of-text ids, length, transformers' other criteria."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import MaxTimeCriteria, StoppingCriteria, StopStringCriteria


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends a text at the same id as decoding one id at a time would.

    Attributes:
        max_length: most ids of prompt and output together.
        end_ids: ids that end the text, included in it.
        criteria: transformers' criteria other than length and end ids, asked after each id.

    >>> stop = Stop(max_length=10, end_ids=frozenset({2}), criteria=())
    >>> stop.cut([5, 6], 2, [7, 2, 8])
    ([7, 2], True)
    """

    max_length: int
    end_ids: frozenset[int]
    criteria: Sequence[StoppingCriteria]

    def room(self, length: int) -> int:
        """How many ids may follow a text of `length` ids."""
        return self.max_length - length

    def cut(self, ids: list[int], end: int, tokens: list[int]) -> tuple[list[int], bool]:
        """The part of `tokens` that may follow the text `ids[:end]`, and whether it ends there."""
        for count, token in enumerate(tokens, 1):
            if (
                token in self.end_ids
                or end + count == self.max_length
                or self._met(ids, end, tokens[:count])
            ):
                return tokens[:count], True
        return tokens, False

    def _met(self, ids: list[int], end: int, tokens: list[int]) -> bool:
        if not self.criteria:
            return False
        first = max(0, end - max(_reach(criterion, end) for criterion in self.criteria))
        text = cast("torch.LongTensor", torch.tensor([ids[first:end] + tokens]))
        met: list[Any] = [criterion(text, None) for criterion in self.criteria]
        return any(bool(torch.as_tensor(each).all()) for each in met)


def _reach(criterion: object, length: int) -> int:
    """How many ids back a criterion looks; the whole text for one we do not know."""
    match criterion:
        case StopStringCriteria():
            return criterion.maximum_token_len
        case MaxTimeCriteria():
            return 1
        case _:
            return length
