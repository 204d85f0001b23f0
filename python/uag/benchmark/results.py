"""What `uag compare --json` printed, read again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from statistics import median
from typing import Any, cast

from uag.benchmark.comparison import PLAIN
from uag.errors import FileError
from uag.files import read_text
from uag.lookahead.schedules import parse_lookahead


@dataclass(frozen=True, slots=True)
class Speedup:
    """How many times as fast as plain decoding a method was.

    Attributes:
        median: over repetitions.
        low, high: the slowest and the fastest repetition.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """One comparison.

    Attributes:
        pair: what target and assistant are called.
        lookahead: a number of ids, "auto" or "heuristic".
        temperature: 0 for greedy decoding.
        speedups: by the name of the way; without plain decoding, and without those that failed.
    """

    pair: str
    lookahead: int | str
    temperature: float
    speedups: dict[str, Speedup]


def read_results(paths: Sequence[Path]) -> list[Result]:
    """The results in some files: each holds a JSON object, or several, one a line.

    Raises:
        FileError: naming the file, and the line if it is one that is wrong.
    """
    results: list[Result] = []
    for path in paths:
        text = read_text(path, "results")
        found = [
            _result(line, f"{path}, line {number}")
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
        if not found:
            raise FileError(f"{path} has no results; write some with uag compare --json")
        results += found
    return results


def _result(line: str, place: str) -> Result:
    try:
        found = cast("dict[str, Any]", json.loads(line))
        methods = [method for method in found["methods"] if "error" not in method]
        plain = next(method["speeds"] for method in methods if method["name"] == PLAIN)
        return Result(
            pair=_pair(found["target"], found["assistant"]),
            lookahead=parse_lookahead(found["lookahead"]),
            temperature=float(found.get("temperature") or 0),
            speedups={
                str(method["name"]): _speedup(method["speeds"], plain)
                for method in methods
                if method["name"] != PLAIN
            },
        )
    except (ValueError, KeyError, TypeError, ZeroDivisionError, StopIteration) as error:
        raise FileError(
            f"{place}: this is not what uag compare --json prints: {error or type(error).__name__}"
        ) from error


def _pair(target: str | None, assistant: str | None) -> str:
    if target is None or assistant is None:
        return "demo pair"
    return f"{PurePath(target).name} <- {PurePath(assistant).name}"


def _speedup(speeds: list[float], plain: list[float]) -> Speedup:
    ratios = [speed / of_plain for speed, of_plain in zip(speeds, plain, strict=True)]
    return Speedup(median(ratios), min(ratios), max(ratios))
