"""How much faster drafting is expected to be, by acceptance and cost.

A round with `k` drafted ids takes one pass of the target and `k` steps of the assistant, and emits
one id of the target's own and those that accepted drafts stand for (Leviathan et al. 2023, with
ids of two sizes):

    speed-up = (1 + r (a + a^2 + ... + a^k)) / (1 + k c)

`a` is the chance that a drafted id is accepted once those before it are, `r` how many target ids a
drafted one stands for, `c` what a draft step costs, in passes of the target. A pass over several
ids is taken to cost what one over a single id costs, so this is what can be had at most.
"""

from typing import NamedTuple

from uag.lookahead.estimates import LONGEST


class Range(NamedTuple):
    """The least and the most that a number may be."""

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
    """The number of drafted ids that makes most of it, and the speed-up: 0 ids where none pay.

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
    """The acceptance from which drafting pays; above 1 where it never does.

    The first drafted id pays most, so it decides: `r a > c`.

    >>> break_even(tokens_per_id=0.5, cost=0.1)
    0.2
    """
    return cost / tokens_per_id
