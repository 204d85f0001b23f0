"""Plain decoding as slowly and obviously as possible, and processors that say what they see."""

from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from uag.sampling.greedy import Pick

# Who is called, after how many calls of the processor, and the ids that it sees.
Entry = tuple[str, int, list[int]]


@torch.no_grad()
def plainly(
    model: PreTrainedModel,
    prompt: list[int],
    processors: LogitsProcessorList,
    criteria: StoppingCriteriaList,
    pick: Pick,
) -> list[int]:
    """The new ids, each from a pass over the whole text."""
    ids = list(prompt)
    while True:
        text: Any = torch.tensor([ids])
        past = DynamicCache(config=model.config)
        scores = model(input_ids=text, past_key_values=past).logits[:, -1].float()
        ids.append(int(pick(processors(text, scores), ids, len(ids))))
        if criteria(torch.tensor([ids]), None).all():  # type: ignore[arg-type]
            return ids[len(prompt) :]


class Diary:
    """Hears what the processors and criteria of any number of texts see, copies included."""

    def __init__(self) -> None:
        self._told: list[tuple[int, Entry]] = []
        self._names = count()

    def pair(self, period: int = 4, last: int | None = None) -> "tuple[Asks, Ends]":
        """A processor and a criterion that share what they remember."""
        memory = Memory(self._tell, lambda: next(self._names))
        return Asks(memory, period), Ends(memory, last)

    def texts(self) -> list[list[Entry]]:
        """The entries of each text, in any order of the texts."""
        names = {name for name, _ in self._told}
        return sorted([entry for each, entry in self._told if each == name] for name in names)

    def _tell(self, name: int, entry: Entry) -> None:
        self._told.append((name, entry))


class Memory:
    """What a processor and a criterion of one text remember together."""

    def __init__(self, tell: Callable[[int, Entry], None], new_name: Callable[[], int]) -> None:
        # Not copied: all copies tell the same diary.
        self.functions = Uncopied([tell, new_name])
        self.name: int | None = None
        self.calls = 0

    def note(self, kind: str, input_ids: Tensor) -> None:
        tell, new_name = self.functions
        self.name = new_name() if self.name is None else self.name
        tell(self.name, (kind, self.calls, input_ids[0].tolist()))


class Uncopied(list[Any]):
    """A list that copies share."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Uncopied":
        return self


class Asks(LogitsProcessor):
    """Prefers an id that depends on its number of calls, once in a period."""

    def __init__(self, memory: Memory, period: int) -> None:
        self.memory = memory
        self.period = period

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        assert scores.dtype == torch.float32 and scores.device == input_ids.device
        assert len(input_ids) == len(scores) and not torch.is_inference_mode_enabled()
        self.memory.note("asks", input_ids)
        self.memory.calls += 1
        if self.memory.calls % self.period == 0:
            scores[:, 20 + 7 * self.memory.calls % 300] += 99
        return scores


class Ends(StoppingCriteria):
    """Ends a text after a number of the processor's calls, if it is told one."""

    def __init__(self, memory: Memory, last: int | None) -> None:
        self.memory = memory
        self.last = last

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        assert scores is None and not torch.is_inference_mode_enabled()
        self.memory.note("ends", input_ids)
        return torch.full((len(input_ids),), self.memory.calls == self.last)


def plain_entries(prompt: list[int], new: list[int]) -> list[Entry]:
    """What plain decoding of a text tells: before each new id, and after it."""
    return [
        (kind, calls, [*prompt, *new[:calls]])
        for at in range(len(new))
        for kind, calls in (("asks", at), ("ends", at + 1))
    ]
