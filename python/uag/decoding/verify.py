"""Verification: which of the candidates the target would have emitted itself."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitNormalization,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from uag.errors import LogitsError
from uag.models.cached_lm import id_list
from uag.sampling.greedy import Pick

# (logits, ids that end with the candidates, candidates) -> the ids that are emitted
Verify = Callable[[Tensor, list[int], list[int]], list[int]]
# Passes of up to this many ids may have any width.
EACH_WIDTH = 8
# Processors that look at one position's scores only: all positions can be processed at once.
BY_ROW = (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    MinPLogitsWarper,
    TypicalLogitsWarper,
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitNormalization,
)


def round_width(width: int) -> int:
    """Round the width of a pass down to one of a few: any up to 8, then 12, 16, 24, 32, 48, ...

    Kernels are set up and kept for each shape, which costs more than is lost with a few candidates
    at the end of a long draft: those are seldom accepted.

    >>> [round_width(width) for width in (7, 8, 11, 15, 31, 100)]
    [7, 8, 8, 12, 24, 96]
    """
    step = 1 if width <= EACH_WIDTH else 1 << (width.bit_length() - 2)
    return width // step * step


def verifier(processors: LogitsProcessorList, pick: Pick) -> Verify:
    """A function that emits what decoding id by id with these processors and `pick` would emit.

    It takes the target's logits after the sequence so far and after each candidate, `[candidates +
    1, vocabulary]`, the ids of the sequence with the candidates at its end, and the candidates. It
    returns the accepted candidates and one id more, and raises `LogitsError` where the logits
    allow no token.

    >>> from uag.sampling.greedy import most_likely
    >>> verify = verifier(LogitsProcessorList(), most_likely)
    >>> verify(torch.eye(4)[[3, 1, 2]], [0, 3, 2], [3, 2])
    [3, 1]
    """
    stateless = all(type(processor) in BY_ROW for processor in cast("list[object]", processors))
    process = _process_together if stateless else _process_one_by_one

    @torch.inference_mode()
    def verify(logits: Tensor, ids: list[int], candidates: list[int]) -> list[int]:
        chosen = process(processors, pick, logits, ids, len(ids) - len(candidates))
        emitted = chosen[: agreement(chosen, candidates) + 1]
        if emitted[-1] < 0:
            raise _no_token(logits[len(emitted) - 1], len(ids) - len(candidates) + len(emitted) - 1)
        return emitted

    return verify


def agreement(ids: list[int], candidates: list[int]) -> int:
    """Length of the longest common prefix of two lists.

    >>> agreement([1, 2, 3], [1, 2, 4])
    2
    """
    pairs = enumerate(zip(ids, candidates, strict=False))
    return next(
        (index for index, (id, candidate) in pairs if id != candidate),
        min(len(ids), len(candidates)),
    )


def _process_together(
    processors: LogitsProcessorList, pick: Pick, logits: Tensor, ids: list[int], end: int
) -> list[int]:
    unread = cast("torch.LongTensor", None)
    scores = processors(unread, cast("torch.FloatTensor", _scores(logits, processors)))
    return id_list(pick(scores, ids, end))


def _process_one_by_one(
    processors: LogitsProcessorList, pick: Pick, logits: Tensor, ids: list[int], end: int
) -> list[int]:
    """Stop after the first id that is not the candidate.

    A processor may keep state, so it must not see ids that decoding one at a time would not have
    shown it.
    """
    text = cast("torch.LongTensor", torch.tensor([ids], device=logits.device))
    scores = _scores(logits, processors)
    chosen: list[int] = []
    for row in range(len(scores)):
        before = cast("torch.LongTensor", text[:, : end + row])
        processed = processors(before, cast("torch.FloatTensor", scores[row : row + 1]))
        chosen.append(int(pick(processed, ids, end + row)))
        if chosen[row:] != ids[end + row : end + row + 1]:
            break
    return chosen


def _scores(logits: Tensor, processors: LogitsProcessorList) -> Tensor:
    """The logits in float32, as transformers passes them; a copy, as processors may change them."""
    return logits.to(torch.float32, copy=bool(processors))


def _no_token(logits: Tensor, length: int) -> LogitsError:
    if logits.isnan().any():
        return LogitsError(
            f"the target's logits after {length} ids contain NaN; its weights or their number type "
            f"({logits.dtype}) overflow: load it in float32 or bfloat16, or check its files"
        )
    return LogitsError(
        f"after {length} ids the options and logits processors leave no token; loosen them"
    )
