"""Verification: which of the candidates the target would have emitted itself."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

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


class Verify(Protocol):
    """Yields the ids that are emitted, one by one; see `verifier`."""

    def __call__(
        self,
        logits: Tensor,
        ids: list[int],
        candidates: list[int],
        parents: Sequence[int] | None = None,
    ) -> Iterator[int]: ...


# Brings ids that were chosen on a device to the host: `[ids]` -> a list.
Told = Callable[[Tensor], list[int]]
# A `Pick` whose ids are on the host.
PickOnHost = Callable[[Tensor, list[int], int], list[int]]
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


def verifier(
    processors: LogitsProcessorList,
    pick: Pick,
    device: torch.device | None = None,
    told: Told = id_list,
) -> Verify:
    """A function that emits what decoding id by id with these processors and `pick` would emit.

    It takes the target's logits after the sequence so far and after each candidate, `[candidates +
    1, vocabulary]`, the ids of the sequence with the candidates at its end, and the candidates. It
    yields the accepted candidates and one id more, and raises `LogitsError` where the logits
    allow no token. With `parents`, the index of the one before each candidate or -1, the candidates
    are a tree. The accepted ones are a path of it.

    Nothing is done for an id before it is asked for: a caller that stops at the end of the text
    has called no processor for a position after it. Processors get ids and scores on `device`, by
    default that of the logits, and run without gradients. `told` brings what was chosen to the
    host.

    >>> from uag.sampling.greedy import most_likely
    >>> verify = verifier(LogitsProcessorList(), most_likely)
    >>> list(verify(torch.eye(4)[[3, 1, 2]], [0, 3, 2], [3, 2]))
    [3, 1]
    >>> list(verify(torch.eye(4)[[3, 1, 2]], [0, 2, 3], [2, 3], [-1, -1]))  # 2 or 3
    [3, 2]
    """
    stateless = all(type(processor) in BY_ROW for processor in cast("list[object]", processors))
    chosen = _chosen_together if stateless else _chosen_one_by_one

    def choose(scores: Tensor, ids: list[int], end: int) -> list[int]:
        return told(pick(scores, ids, end))

    def verify(
        logits: Tensor,
        ids: list[int],
        candidates: list[int],
        parents: Sequence[int] | None = None,
    ) -> Iterator[int]:
        length, node = len(ids) - len(candidates), -1
        parents = range(-1, len(candidates) - 1) if parents is None else parents
        places = {each: at for at, each in enumerate(zip(parents, candidates, strict=True))}
        while True:
            # What follows the node, each the one before it, is chosen with what it follows, so that
            # the host seldom waits for a choice. Of a chain that is all.
            begin = end = node + 1
            while end < len(parents) and parents[end] == end - 1:
                end += 1
            # In float32, as transformers passes them; a copy, as processors may change them.
            scores = logits[begin : end + 1].to(
                device=device, dtype=torch.float32, copy=bool(processors)
            )
            for id in chosen(processors, choose, scores, ids, length):
                if id < 0:
                    raise _no_token(logits[node + 1], length)
                yield id
                length += 1
                if (after := places.get((node, id))) is None:
                    return
                beside, node = after != node + 1, after
                if beside:
                    ids = ids[: length - 1] + candidates[node:]
                    break

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


@torch.no_grad()
def _chosen_together(
    processors: LogitsProcessorList, choose: PickOnHost, scores: Tensor, ids: list[int], end: int
) -> list[int]:
    unread = cast("torch.LongTensor", None)
    return choose(processors(unread, cast("torch.FloatTensor", scores)), ids, end)


def _chosen_one_by_one(
    processors: LogitsProcessorList, choose: PickOnHost, scores: Tensor, ids: list[int], end: int
) -> Iterator[int]:
    """Each id when it is asked for.

    A processor may keep state, so it must not see ids that decoding one at a time would not have
    shown it.
    """
    # Copied without a wait for the pass, so that what follows is launched while it runs.
    text = cast("torch.LongTensor", torch.tensor([ids]).to(scores.device, non_blocking=True))
    for row in range(len(scores)):
        with torch.no_grad():  # and not while the caller has the id
            before = cast("torch.LongTensor", text[:, : end + row])
            processed = processors(before, cast("torch.FloatTensor", scores[row : row + 1]))
            found = choose(processed, ids, end + row)
        yield from found


def _no_token(logits: Tensor, length: int) -> LogitsError:
    if logits.isnan().any():
        return LogitsError(
            f"the target's logits after {length} ids contain NaN; its weights or their number type "
            f"({logits.dtype}) overflow: load it in float32 or bfloat16, or check its files"
        )
    return LogitsError(
        f"after {length} ids the options and logits processors leave no token; loosen them"
    )
