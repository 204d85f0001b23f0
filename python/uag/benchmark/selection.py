"""Several assistants for one target, each compared with plain decoding: which of them to take."""

from dataclasses import asdict, dataclass
from typing import Any

from uag.benchmark.comparison import UAG, Comparison, Method

VARIES = " (within what the runs vary)"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The fastest of several assistants, beside plain decoding and the next assistant.

    >>> print(Recommendation("small", 2.0, True, "tiny", 1.05, False))
    take small: 2.00x plain and 1.05x tiny, the next (within what the runs vary)
    >>> print(Recommendation("small", 0.9, False, "tiny", 1.5, True))
    none of them pays here: decode plainly (the fastest, small, is 0.90x plain)

    Attributes:
        fastest: the name of the fastest assistant.
        speedup: how many times as fast as plain decoding it is.
        clear_of_plain: whether it was faster in each repetition; `None` if there was only one.
        next: the name of the second fastest.
        over_next: how many times as fast as that the fastest is.
        clear_of_next: whether its slowest repetition was faster than the other's fastest; `None` if
            there was only one of either.
    """

    fastest: str
    speedup: float
    clear_of_plain: bool | None
    next: str
    over_next: float
    clear_of_next: bool | None

    @property
    def assistant(self) -> str | None:
        """The assistant to take; `None` if plain decoding is as fast as any."""
        return self.fastest if self.speedup > 1 else None

    def __str__(self) -> str:
        if self.assistant is None:
            return (
                "none of them pays here: decode plainly "
                f"(the fastest, {self.fastest}, is {self.speedup:.2f}x plain)"
            )
        unknown = None in (self.clear_of_plain, self.clear_of_next)
        return (
            f"take {self.fastest}: {self.speedup:.2f}x plain{_varies(self.clear_of_plain)} and "
            f"{self.over_next:.2f}x {self.next}, the next{_varies(self.clear_of_next)}"
            + (", by one run each: --runs 3 shows how much they vary" if unknown else "")
        )

    def as_dict(self) -> dict[str, Any]:
        """The recommendation as a dict of JSON values."""
        numbers = {name: round(getattr(self, name), 3) for name in ("speedup", "over_next")}
        return {"assistant": self.assistant} | asdict(self) | numbers | {"text": str(self)}


@dataclass(frozen=True, slots=True)
class Selection:
    """Two or more assistants for one target, each compared with plain decoding in its own turn.

    >>> from uag.benchmark.comparison import Run
    >>> plain, slow, fast = ([[Run([5, 6], each, 1)]] * 2 for each in (1.0, 0.5, 0.4))
    >>> comparisons = [
    ...     Comparison(["Once"], [Method("plain", plain), Method("uag", runs)])
    ...     for runs in (slow, fast)
    ... ]
    >>> print(Selection(["small", "tiny"], comparisons).recommendation)
    take tiny: 2.50x plain and 1.25x small, the next

    Attributes:
        names: the assistants.
        comparisons: theirs, in the same order; fewer if it was interrupted.
    """

    names: list[str]
    comparisons: list[Comparison]

    @property
    def complete(self) -> bool:
        """Whether all runs were made."""
        return len(self.comparisons) == len(self.names) and all(
            each.interrupted is None for each in self.comparisons
        )

    @property
    def plain(self) -> Comparison:
        """Plain decoding alone, with its runs of all turns."""
        turns = [each.methods[0] for each in self.comparisons]
        runs = [runs for turn in turns for runs in turn.runs]
        first = turns[0]
        pooled = Method(first.name, runs, drawn=first.drawn, first=first.first)
        return Comparison(self.comparisons[0].prompts, [pooled])

    @property
    def recommendation(self) -> Recommendation | None:
        """Which assistant to take; `None` unless all runs were made.

        Speed-ups are compared, not speeds: plain decoding ran at the same time as each assistant,
        so what else the machine did meanwhile is in both.
        """
        if not self.complete:
            return None
        ranked = sorted(
            zip(self.names, self.comparisons, strict=True),
            key=lambda turn: turn[1].speedup(_ours(turn[1])),
            reverse=True,
        )
        (fastest, first), (following, second) = ranked[:2]
        ours, theirs = (each.speedups(_ours(each)) for each in (first, second))
        speedup = first.speedup(_ours(first))
        return Recommendation(
            fastest,
            speedup,
            _clear(ours, [1.0] * len(ours)),
            following,
            speedup / second.speedup(_ours(second)),
            _clear(ours, theirs),
        )


def _ours(comparison: Comparison) -> Method:
    return next(method for method in comparison.methods if method.name == UAG)


def _clear(fast: list[float], slow: list[float]) -> bool | None:
    """Whether every repetition of one is above every one of the other; `None` for a single one."""
    return min(fast) > max(slow) if min(len(fast), len(slow)) > 1 else None


def _varies(clear: bool | None) -> str:
    return VARIES if clear is False else ""
