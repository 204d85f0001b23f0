"""Which of the candidates the target would have emitted itself."""

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

# (logits, ids with the candidates at the end, candidates) -> the ids the target emits
Verify = Callable[[Tensor, list[int], list[int]], list[int]]
# Passes of up to so many ids may have any width.
EACH_WIDTH = 8
# Processors that see only their own row: for them all positions go at once.
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
    """The widest usual pass of at most so many ids: any up to 8, then 12, 16, 24, and so on.

    Kernels are set up and kept for each shape. A few candidates at the far end of a draft, which
    are seldom accepted, are worth less than that.

    >>> [round_width(width) for width in (7, 8, 11, 15, 31, 100)]
    [7, 8, 8, 12, 24, 96]
    """
    step = 1 if width <= EACH_WIDTH else 1 << (width.bit_length() - 2)
    return width // step * step


def verifier(processors: LogitsProcessorList, pick: Pick) -> Verify:
    """Verification that emits what decoding id by id with these processors and `pick` emits.

    The function it returns takes the target's logits behind the text and behind each candidate,
    `[candidates + 1, vocabulary]`, and raises `LogitsError` where they allow no token.

    >>> from uag.sampling.greedy import most_likely
    >>> verify = verifier(LogitsProcessorList(), most_likely)
    >>> verify(torch.eye(4)[[3, 1, 2]], [0, 3, 2], [3, 2])
    [3, 1]
    """
    together = all(type(processor) in BY_ROW for processor in cast("list[object]", processors))
    each = _process_together if together else _process_one_by_one

    @torch.inference_mode()
    def verify(logits: Tensor, ids: list[int], candidates: list[int]) -> list[int]:
        chosen = each(processors, pick, logits, ids, len(ids) - len(candidates))
        emitted = chosen[: agreement(chosen, candidates) + 1]
        if emitted[-1] < 0:
            raise _no_token(logits[len(emitted) - 1], len(ids) - len(candidates) + len(emitted) - 1)
        return emitted

    return verify


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


def _process_together(
    processors: LogitsProcessorList, pick: Pick, logits: Tensor, ids: list[int], end: int
) -> list[int]:
    unread = cast("torch.LongTensor", None)
    scores = processors(unread, cast("torch.FloatTensor", _scores(logits, processors)))
    return id_list(pick(scores, ids, end))


def _process_one_by_one(
    processors: LogitsProcessorList, pick: Pick, logits: Tensor, ids: list[int], end: int
) -> list[int]:
    """Stops behind the first id that isn't the candidate: a processor may remember its calls."""
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
    """In float32, as transformers gives them to processors, which may write to them."""
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
