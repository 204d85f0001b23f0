"""Each of several texts has processors and criteria of its own."""

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from tests.support.tokenizers import PROMPT
from tests.support.transformers_calls import decoder, inputs


class Counts(LogitsProcessor):
    """Remembers how often each row's last id came before."""

    def __init__(self, rows: int) -> None:
        self.before: list[list[int]] = [[] for _ in range(rows)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        for row, id in enumerate(input_ids[:, -1].tolist()):
            scores[row, 40 + self.before[row].count(id)] += 3
            self.before[row] = [*self.before[row], id]
        return scores


def test_a_processor_remembers_each_row_apart() -> None:
    rows = inputs(PROMPT, "Once", "One day, the")
    generate: Any = decoder("itself").model.generate
    processors = [LogitsProcessorList([Counts(3)]) for _ in range(2)]
    ours = generate(
        **rows, max_new_tokens=20, logits_processor=processors[0], custom_generate=decoder("itself")
    )
    theirs = generate(**rows, max_new_tokens=20, logits_processor=processors[1])
    assert torch.equal(ours, theirs)
