"""When a generation ends: end-of-text ids, maximum length, and transformers' other criteria."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import MaxTimeCriteria, StoppingCriteria, StopStringCriteria


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends a generation at the same id at which decoding one id at a time would end it.

    Attributes:
        max_length: maximum number of ids, prompt and output together.
        end_ids: ids that end the generation; the output includes them.
        criteria: transformers' criteria other than length and end ids, checked after each id.

    >>> stop = Stop(max_length=10, end_ids=frozenset({2}), criteria=())
    >>> stop.cut([5, 6], 2, [7, 2, 8])
    ([7, 2], True)
    """

    max_length: int
    end_ids: frozenset[int]
    criteria: Sequence[StoppingCriteria]

    def room(self, length: int) -> int:
        """How many more ids may follow the first `length`."""
        return self.max_length - length

    def cut(self, ids: list[int], end: int, tokens: list[int]) -> tuple[list[int], bool]:
        """The part of `tokens` that may follow `ids[:end]`; whether the generation ends there."""
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
    """How many of the last ids a criterion reads; all `length` for an unknown criterion."""
    match criterion:
        case StopStringCriteria():
            return criterion.maximum_token_len
        case MaxTimeCriteria():
            return 1
        case _:
            return length
