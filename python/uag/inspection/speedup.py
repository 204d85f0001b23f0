"""The expected speed-up of drafting, by acceptance rate and cost.

A round with `k` drafted ids takes one pass of the target and `k` draft steps, and emits one id of
the target's own and those that the accepted drafts spell (Leviathan et al. 2023, extended to ids of
two sizes):

    speed-up = (1 + r (a + a^2 + ... + a^k)) / (1 + k c)

`a` is the probability that a drafted id is accepted if those before it are, `r` the number of
target ids per drafted id, and `c` the cost of a draft step in passes of the target. A pass over
several ids is assumed to cost as much as one over a single id, so this is an upper bound.
"""

from typing import NamedTuple

from uag.lookahead.estimates import LONGEST


class Range(NamedTuple):
    """A lower and an upper bound of a number."""

    low: float
    high: float


def speedup(acceptance: float, k: int, tokens_per_id: float, cost: float) -> float:
    """Tokens a second with `k` drafted ids a round, as a multiple of plain decoding's.

    >>> speedup(0.5, 2, tokens_per_id=1.0, cost=0.25)
    1.1666666666666667
    """
    accepted = sum(acceptance**drafted for drafted in range(1, k + 1))
    return (1 + tokens_per_id * accepted) / (1 + k * cost)


def best_lookahead(acceptance: float, tokens_per_id: float, cost: float) -> tuple[int, float]:
    """The number of drafted ids with the highest speed-up, and that speed-up.

    If drafting does not pay, that is 0 ids and 1.0.

    >>> best_lookahead(0.5, tokens_per_id=1.0, cost=0.25)
    (1, 1.2)
    >>> best_lookahead(0.2, tokens_per_id=1.0, cost=0.3)
    (0, 1.0)
    """
    return max(
        ((k, speedup(acceptance, k, tokens_per_id, cost)) for k in range(LONGEST + 1)),
        key=lambda choice: choice[1],
    )


def break_even(tokens_per_id: float, cost: float) -> float:
    """The acceptance rate above which drafting pays; above 1 if it never does.

    Later ids of a draft pay less than the first, so the first decides: `r a > c`.

    >>> break_even(tokens_per_id=0.5, cost=0.1)
    0.2
    """
    return cost / tokens_per_id
