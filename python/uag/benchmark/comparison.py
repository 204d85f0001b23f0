"""The results of decoding the same prompts with several methods."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from uag.stats import PHASES

PLAIN, TRANSFORMERS, UAG = "plain", "transformers", "uag"
# The target alone, by the engine that it runs with.
BY_ENGINE = {"compiled": "plain compiled", "graphs": "plain by graphs"}
# uag without an assistant, when sampling: with one, the same seed must give the same output.
ALONE = "uag alone"


@dataclass(frozen=True, slots=True)
class Run:
    """One prompt decoded once.

    Attributes:
        token_ids: the new target ids.
        seconds: wall-clock time of the whole call, including reading the prompt.
        target_forwards: number of forward passes of the target.
        phases: seconds by phase (`stats.PHASES`); empty if the method does not report them.
    """

    token_ids: list[int]
    seconds: float
    target_forwards: int
    phases: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, repr=False)
class Method:
    """One method of decoding, with its runs over all prompts in several repetitions.

    >>> runs = [[Run([5, 6], 0.5, 2)], [Run([5, 6], 0.25, 2)], [Run([5, 6], 1.0, 2)]]
    >>> method = Method("plain", runs)
    >>> method.speeds, method.speed, method.tokens_per_forward
    ([4.0, 8.0, 2.0], 4.0, 1.0)

    Attributes:
        name: `PLAIN`, one of `BY_ENGINE`, `TRANSFORMERS`, `ALONE` or `UAG`.
        runs: for each repetition a list with a run of each prompt; empty if there was an error.
        error: if it failed, the class of the error and the first line of its message.
        drawn: whether its output is an independent sample, which need not equal any other.
    """

    name: str
    runs: list[list[Run]]
    error: tuple[str, str] | None = None
    drawn: bool = False

    def __repr__(self) -> str:
        return f"{self.name} failed" if self.error else f"{self.name} {self.speed:.1f} tokens/s"

    @property
    def speeds(self) -> list[float]:
        """New ids per second in each repetition."""
        return [
            sum(len(run.token_ids) for run in runs) / sum(run.seconds for run in runs)
            for runs in self.runs
        ]

    @property
    def speed(self) -> float:
        """New ids per second: the median of the repetitions."""
        return median(self.speeds)

    @property
    def tokens_per_forward(self) -> float:
        """New ids per forward pass of the target."""
        runs = [run for runs in self.runs for run in runs]
        forwards = sum(run.target_forwards for run in runs)
        return sum(len(run.token_ids) for run in runs) / forwards if forwards else 0.0

    @property
    def phases(self) -> dict[str, float]:
        """Mean seconds by phase in one repetition; empty if the method does not report them."""
        runs = [run for runs in self.runs for run in runs if run.phases]
        return {
            phase: sum(run.phases.get(phase, 0.0) for run in runs) / len(self.runs)
            for phase in (PHASES if runs else ())
        }


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Several methods of decoding the same prompts; the first of them is plain decoding.

    >>> slow, fast = [[Run([5, 6], 0.5, 2)]], [[Run([5, 6], 0.25, 1)]]
    >>> comparison = Comparison(["Once"], [Method("plain", slow), Method("uag", fast)])
    >>> comparison.speedup(comparison.methods[1]), comparison.identical
    (2.0, True)
    >>> comparison
    Comparison(1 prompt, greedy: plain 4.0 tokens/s, uag 8.0 tokens/s)

    Attributes:
        prompts: the prompts.
        methods: the methods with their runs, in the order in which they ran.
        decoding: whether all of them decode greedily or sample, and why, in words.
        hints: what makes uag slower than need be: `Stats.hints` of its runs.
    """

    prompts: list[str]
    methods: list[Method]
    decoding: str = "greedy"
    hints: list[str] = field(default_factory=list[str])

    def __repr__(self) -> str:
        count = f"{len(self.prompts)} prompt{'' if len(self.prompts) == 1 else 's'}"
        return f"Comparison({count}, {self.decoding}: {', '.join(map(repr, self.methods))})"

    def speedup(self, method: Method) -> float:
        """How many times as fast as plain decoding: the median of the ratios by repetition."""
        pairs = zip(method.speeds, self.methods[0].speeds, strict=True)
        return median(speed / plain for speed, plain in pairs)

    def identical_prompts(self, method: Method) -> int | None:
        """For how many prompts every run gave the same ids as the first run of plain decoding.

        When sampling, the same as the first run of uag without an assistant, which has the same
        seed; `None` for a method whose output is an independent sample.
        """
        if method.drawn:
            return None
        reference = next(each for each in self.methods if not each.drawn)
        expected = [run.token_ids for run in reference.runs[0]]
        return sum(
            all(runs[index].token_ids == ids for runs in method.runs)
            for index, ids in enumerate(expected)
        )

    @property
    def identical(self) -> bool:
        """Whether all runs gave the same ids, apart from failed methods and independent samples."""
        return all(
            method.error is not None or self.identical_prompts(method) in (None, len(self.prompts))
            for method in self.methods
        )

    def as_dict(self) -> dict[str, Any]:
        """The numbers of each method as a dict of JSON values."""
        return {
            "prompts": len(self.prompts),
            "decoding": self.decoding,
            "identical": self.identical,
            "methods": [self._described(method) for method in self.methods],
            "hints": self.hints,
        }

    def _described(self, method: Method) -> dict[str, Any]:
        if method.error is not None:
            return {"name": method.name, "error": ": ".join(method.error)}
        return {
            "name": method.name,
            "tokens": sum(len(run.token_ids) for run in method.runs[0]),
            "target_forwards": sum(run.target_forwards for run in method.runs[0]),
            "tokens_per_second": round(method.speed, 3),
            "speeds": [round(speed, 3) for speed in method.speeds],
            "speedup": round(self.speedup(method), 3),
            "tokens_per_forward": round(method.tokens_per_forward, 3),
            "identical_prompts": self.identical_prompts(method),
            "seconds": {phase: round(spent, 6) for phase, spent in method.phases.items()},
        }
