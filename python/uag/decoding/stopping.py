"""When a generation ends: end-of-text ids, maximum length, and transformers' other criteria."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import MaxTimeCriteria, StoppingCriteria, StopStringCriteria


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends a generation at the same id at which decoding one id at a time would end it.

    Attributes:
        max_length: maximum number of ids, prompt and output together.
        end_ids: ids that end the generation; the output includes them.
        criteria: transformers' criteria other than length and end ids. Each is asked once after
            each id, the last one too.
        device: where criteria get the ids; torch's default device if `None`.
        scores: the processed scores of the ids so far, `[1, vocabulary]` each, which criteria get
            as a tuple; `None` if scores are not kept.

    >>> stop = Stop(max_length=10, end_ids=frozenset({2}), criteria=())
    >>> stop.cut([5, 6], 2, [7, 2, 8])
    ([7, 2], True)
    """

    max_length: int
    end_ids: frozenset[int]
    criteria: Sequence[StoppingCriteria]
    device: torch.device | None = None
    scores: Sequence[Tensor] | None = None

    def room(self, length: int) -> int:
        """How many more ids may follow the first `length`."""
        return self.max_length - length

    def cut(self, ids: list[int], end: int, tokens: Iterable[int]) -> tuple[list[int], bool]:
        """The part of `tokens` that may follow `ids[:end]`; whether the generation ends there.

        Nothing is taken from `tokens` after the end.
        """
        kept: list[int] = []
        for token in tokens:
            kept.append(token)
            # The criteria are asked in any case: they may count.
            met = self._met(ids, end, kept)
            if met or token in self.end_ids or end + len(kept) == self.max_length:
                return kept, True
        return kept, False

    def _met(self, ids: list[int], end: int, tokens: list[int]) -> bool:
        if not self.criteria:
            return False
        scores = None if self.scores is None else tuple(self.scores)
        with torch.no_grad():
            met = [
                criterion(self._seen_by(criterion, ids, end, tokens), scores)  # type: ignore[arg-type]
                for criterion in self.criteria
            ]
            return any(bool(torch.as_tensor(each).all()) for each in met)

    def _seen_by(
        self, criterion: StoppingCriteria, ids: list[int], end: int, tokens: list[int]
    ) -> torch.LongTensor:
        reach = _reach(criterion)
        first, device = (0, self.device) if reach is None else (max(0, end - reach), None)
        text = torch.tensor([ids[first:end] + tokens], device=device)
        return cast("torch.LongTensor", text)


def _reach(criterion: object) -> int | None:
    """How many of the last ids a criterion reads; `None` for all, where nobody knows.

    The known ones read them on any device. A subclass may do anything.
    """
    if type(criterion) is StopStringCriteria:
        return criterion.maximum_token_len
    return 1 if type(criterion) is MaxTimeCriteria else None
