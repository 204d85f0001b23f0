"""The results of decoding the same prompts with several methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from uag.benchmark.difference import Difference
from uag.stats import PHASES

PLAIN, TRANSFORMERS, UAG = "plain", "transformers", "uag"
# The target alone, by the engine that it runs with.
BY_ENGINE = {"compiled": "plain compiled", "graphs": "plain by graphs"}
# uag without an assistant, when sampling: with one, the same seed must give the same output.
ALONE = "uag alone"
# In place of the numbers of a method, if a comparison was interrupted.
NOT_RUN = "no run was completed"


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

    @property
    def speed(self) -> float:
        """New ids per second."""
        return len(self.token_ids) / self.seconds


@dataclass(frozen=True, slots=True, repr=False)
class Method:
    """One method of decoding, with its runs over all prompts in several repetitions.

    >>> runs = [[Run([5, 6], 0.5, 2)], [Run([5, 6], 0.25, 2)], [Run([5, 6], 1.0, 2)]]
    >>> method = Method("plain", runs)
    >>> method.speeds, method.speed, method.tokens_per_forward
    ([4.0, 8.0, 2.0], 4.0, 1.0)

    Attributes:
        name: `PLAIN`, one of `BY_ENGINE`, `TRANSFORMERS`, `ALONE` or `UAG`.
        runs: for each repetition a list with a run of each prompt; empty if there was an error. If
            the comparison was interrupted, the last repetition may lack prompts.
        error: if it failed, the class of the error and the first line of its message.
        drawn: whether its output is an independent sample, which need not equal any other.
        first: its very first run, on the first prompt, which is none of `runs`.
    """

    name: str
    runs: list[list[Run]]
    error: tuple[str, str] | None = None
    drawn: bool = False
    first: Run | None = None

    def __repr__(self) -> str:
        if self.error:
            return f"{self.name} failed"
        return f"{self.name} {self.speed:.1f} tokens/s" if self.runs else f"{self.name} not run"

    @property
    def speeds(self) -> list[float]:
        """New ids per second in each repetition."""
        return [_speed(runs) for runs in self.runs]

    @property
    def speed(self) -> float:
        """New ids per second: the median of the repetitions; 0 without a run."""
        return median(self.speeds or [0.0])

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
        interrupted: if not all was run, the number of finished runs and that of all runs, both
            with the first run of each method.
        differences: where the outputs first differ, for each method that is not identical.
    """

    prompts: list[str]
    methods: list[Method]
    decoding: str = "greedy"
    hints: list[str] = field(default_factory=list[str])
    interrupted: tuple[int, int] | None = None
    differences: list[Difference] = field(default_factory=list[Difference])

    def __repr__(self) -> str:
        count = f"{len(self.prompts)} prompt{'' if len(self.prompts) == 1 else 's'}"
        after = "" if self.interrupted is None else ", interrupted after {} of {} runs"
        after = after.format(*self.interrupted or ())
        return f"Comparison({count}, {self.decoding}{after}: {', '.join(map(repr, self.methods))})"

    def speedups(self, method: Method) -> list[float]:
        """How many times as fast as plain decoding, on the prompts that both ran.

        A number for each repetition.
        """
        pairs = zip(method.runs, self.methods[0].runs, strict=False)
        return [_speed(runs) / _speed(plain[: len(runs)]) for runs, plain in pairs]

    def speedup(self, method: Method) -> float:
        """The median of `speedups`; 0 without a run."""
        return median(self.speedups(method) or [0.0])

    def first_speedup(self, method: Method) -> float | None:
        """How many times as fast the very first run was as plain decoding is on the first prompt.

        The first run sets up kernels, compiles, and teaches lookahead "auto" what drafts are worth.
        `None` if it was not made, or plain decoding has no later run.
        """
        plain = [runs[0].speed for runs in self.methods[0].runs]
        if method.first is None or not plain:
            return None
        return method.first.speed / median(plain)

    @property
    def reference(self) -> Method | None:
        """The method whose output the others must reproduce; `None` if all are drawn."""
        return next((each for each in self.methods if not each.drawn), None)

    def identical_prompts(self, method: Method) -> int | None:
        """For how many prompts every run gave the same ids as the first run of plain decoding.

        When sampling, the same as the first run of uag without an assistant, which has the same
        seed; `None` for a method whose output is an independent sample.
        """
        reference = self.reference
        if method.drawn or reference is None:
            return None
        return sum(
            all(runs[index].token_ids == run.token_ids for runs in method.runs if index < len(runs))
            for index, run in enumerate(reference.runs[0] if reference.runs else ())
            if index < _prompts_of(method)
        )

    @property
    def identical(self) -> bool:
        """Whether all runs gave the same ids, apart from failed methods and independent samples."""
        return all(
            method.error is not None
            or self.identical_prompts(method) in (None, _prompts_of(method))
            for method in self.methods
        )

    def as_dict(self) -> dict[str, Any]:
        """The numbers of each method as a dict of JSON values."""
        return {
            "prompts": len(self.prompts),
            "decoding": self.decoding,
            "complete": self.interrupted is None,
            "interrupted": self.interrupted
            and dict(zip(("done", "total"), self.interrupted, strict=True)),
            "identical": self.identical,
            "differences": [difference.as_dict() for difference in self.differences],
            "methods": [self._described(method) for method in self.methods],
            "hints": self.hints,
        }

    def _described(self, method: Method) -> dict[str, Any]:
        if method.error is not None:
            return {"name": method.name, "error": ": ".join(method.error)}
        if not method.runs:
            return {"name": method.name, "error": NOT_RUN}
        first = self.first_speedup(method)
        return {
            "name": method.name,
            "tokens": sum(len(run.token_ids) for run in method.runs[0]),
            "target_forwards": sum(run.target_forwards for run in method.runs[0]),
            "tokens_per_second": round(method.speed, 3),
            "speeds": [round(speed, 3) for speed in method.speeds],
            "speedup": round(self.speedup(method), 3),
            "speedups": [round(speedup, 3) for speedup in self.speedups(method)],
            "first_speedup": None if first is None else round(first, 3),
            "tokens_per_forward": round(method.tokens_per_forward, 3),
            "identical_prompts": self.identical_prompts(method),
            "seconds": {phase: round(spent, 6) for phase, spent in method.phases.items()},
        }


def _speed(runs: Sequence[Run]) -> float:
    return sum(len(run.token_ids) for run in runs) / sum(run.seconds for run in runs)


def _prompts_of(method: Method) -> int:
    """The number of prompts that a method has decoded."""
    return len(method.runs[0]) if method.runs else 0
