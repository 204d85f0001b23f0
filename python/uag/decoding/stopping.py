"""When a generation ends: end-of-text ids, maximum length, and transformers' other criteria."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import MaxTimeCriteria, StoppingCriteria, StopStringCriteria

from uag.decoding.stop_strings import StopStrings
from uag.stats import Ending


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
    ([7, 2], Ending(reason='eos', by=2))
    """

    max_length: int
    end_ids: frozenset[int]
    criteria: Sequence[StoppingCriteria]
    device: torch.device | None = None
    scores: Sequence[Tensor] | None = None

    def room(self, length: int) -> int:
        """How many more ids may follow the first `length`."""
        return self.max_length - length

    def cut(
        self, ids: list[int], end: int, tokens: Iterable[int]
    ) -> tuple[list[int], Ending | None]:
        """The part of `tokens` that may follow `ids[:end]`; why the generation ends there, if so.

        Nothing is taken from `tokens` after the end.
        """
        kept: list[int] = []
        for token in tokens:
            kept.append(token)
            # The criteria are asked in any case: they may count.
            met = self._met(ids, end, kept)
            if token in self.end_ids:
                return kept, Ending("eos", token)
            if met is not None:
                return kept, met
            if end + len(kept) == self.max_length:
                return kept, Ending("length")
        return kept, None

    def _met(self, ids: list[int], end: int, tokens: list[int]) -> Ending | None:
        if not self.criteria:
            return None
        scores = None if self.scores is None else tuple(self.scores)
        with torch.no_grad():
            met = [self._ending(criterion, ids, end, tokens, scores) for criterion in self.criteria]
        return next((ending for ending in met if ending is not None), None)

    def _ending(
        self,
        criterion: StoppingCriteria,
        ids: list[int],
        end: int,
        tokens: list[int],
        scores: tuple[Tensor, ...] | None,
    ) -> Ending | None:
        reach = _reach(criterion)
        text = ids[0 if reach is None else max(0, end - reach) : end] + tokens
        if isinstance(criterion, StopStrings):
            string = criterion.found(text)
            return None if string is None else Ending("stop_string", string)
        row = torch.tensor([text], device=self.device if reach is None else None)
        met = criterion(cast("torch.LongTensor", row), cast("Any", scores))
        kind = type(criterion).__name__
        return Ending("criterion", kind) if bool(torch.as_tensor(met).all()) else None


def _reach(criterion: object) -> int | None:
    """How many of the last ids a criterion reads; `None` for all, where nobody knows.

    The known ones read them on any device. A subclass may do anything.
    """
    if isinstance(criterion, StopStrings):
        return criterion.reach
    if type(criterion) is StopStringCriteria:
        return criterion.maximum_token_len
    return 1 if type(criterion) is MaxTimeCriteria else None
