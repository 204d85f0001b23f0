"""Which of the candidates the target would have emitted itself."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from uag.lm import id_list

# (logits, ids with the candidates at the end, candidates) -> the ids the target emits
Verify = Callable[[Tensor, list[int], list[int]], list[int]]


def greedy_verifier(processors: LogitsProcessorList) -> Verify:
    """Verification that emits what greedy decoding with these processors emits."""
    if not processors:
        return greedy

    def verify(logits: Tensor, ids: list[int], candidates: list[int]) -> list[int]:
        return greedy_processed(logits, ids, candidates, processors)

    return verify


@torch.inference_mode()
def greedy(logits: Tensor, ids: list[int], candidates: list[int]) -> list[int]:
    """The target's most likely ids up to and including its first that is not the candidate.

    Args:
        logits: `[candidates + 1, vocabulary]`: the target's behind the text and each candidate.
        ids: the text with the candidates at its end; unused here.
        candidates: the target ids to verify.

    >>> greedy(torch.eye(4)[[3, 1, 2]], [0, 3, 2], candidates=[3, 2])
    [3, 1]
    """
    del ids
    chosen = id_list(logits.argmax(-1))
    return chosen[: agreement(chosen, candidates) + 1]


@torch.inference_mode()
def greedy_processed(
    logits: Tensor, ids: list[int], candidates: list[int], processors: LogitsProcessorList
) -> list[int]:
    """As `greedy`, with the processors applied at each position as in decoding id by id."""
    text = torch.tensor([ids], device=logits.device)
    scores = logits.to(torch.float32, copy=True)
    chosen: list[int] = []
    for index in range(len(candidates) + 1):
        before = cast("torch.LongTensor", text[:, : len(ids) - len(candidates) + index])
        row = cast("torch.FloatTensor", scores[index : index + 1])
        chosen.append(int(processors(before, row).argmax(-1)))
        if chosen[index:] != candidates[index : index + 1]:
            break
    return chosen


def agreement(ids: list[int], candidates: list[int]) -> int:
    """Length of the common beginning of two lists.

    >>> agreement([1, 2, 3], [1, 2, 4])
    2
    """
    pairs = enumerate(zip(ids, candidates, strict=False))
    return next(
        (index for index, (id, candidate) in pairs if id != candidate),
        min(len(ids), len(candidates)),
    )
