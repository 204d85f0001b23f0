"""Reads the output of `uag compare --json`."""

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

# What reading lines of another kind raises; too many brackets are a RecursionError.
WRONG = (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError)


@dataclass(frozen=True, slots=True)
class Speedup:
    """The speed of a method as a multiple of plain decoding's.

    Attributes:
        median: the median of the repetitions.
        low, high: the slowest and the fastest repetition.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one comparison.

    Attributes:
        pair: the names of target and assistant, as one string.
        lookahead: the number of drafted ids, "auto" or "heuristic".
        temperature: the temperature; 0 for greedy decoding.
        speedups: the speed-up of each method by its name, without plain decoding and without
            methods that failed.
        failed: the names of the methods that failed, or were not run before an interruption.
        missing: how many runs of how many are missing, if it was interrupted.
    """

    pair: str
    lookahead: int | str
    temperature: float
    speedups: dict[str, Speedup]
    failed: tuple[str, ...] = ()
    missing: tuple[int, int] | None = None


def read_results(paths: Sequence[Path]) -> list[Result]:
    """The results in all files, each of which has one or more JSON objects, one per line.

    Raises:
        FileError: naming the file, and the line if a line is wrong.
    """
    results: list[Result] = []
    for path in paths:
        text = read_text(path, "results")
        found = [
            result
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
            for result in _results(line, f"{path}, line {number}")
        ]
        if not found:
            raise FileError(f"{path} has no results; write some with uag compare --json")
        results += found
    return results


def _results(line: str, place: str) -> list[Result]:
    """The result of a line, or one for each assistant if several were compared."""
    try:
        found = cast("dict[str, Any]", json.loads(line))
        return [_result(each) for each in found.get("assistants", [found])]
    except WRONG as error:
        raise FileError(
            f"{place}: this is not what uag compare --json prints: "
            f"{str(error) or type(error).__name__}"
        ) from error


def _result(found: dict[str, Any]) -> Result:
    methods = {str(method["name"]): method for method in found["methods"]}
    run = {name: method for name, method in methods.items() if "error" not in method}
    missing = _missing(found)
    if PLAIN not in run and (run or missing is None):
        raise ValueError("there are no results of plain decoding")
    plain: dict[str, Any] = run.get(PLAIN, {})
    return Result(
        pair=_pair(found["target"], found["assistant"]),
        lookahead=parse_lookahead(found["lookahead"]),
        temperature=float(found.get("temperature") or 0),
        speedups={name: _speedup(method, plain) for name, method in run.items() if name != PLAIN},
        failed=tuple(name for name in methods if name not in run),
        missing=missing,
    )


def _pair(target: str | None, assistant: str | None) -> str:
    if target is None or assistant is None:
        return "demo pair"
    return f"{PurePath(target).name} <- {PurePath(assistant).name}"


def _missing(found: dict[str, Any]) -> tuple[int, int] | None:
    if (interrupted := found.get("interrupted")) is None:
        return None
    return interrupted["total"] - interrupted["done"], interrupted["total"]


def _speedup(method: dict[str, Any], plain: dict[str, Any]) -> Speedup:
    # The last repetition of interrupted results may have other prompts than plain decoding's, so
    # `speedups` is read where it is.
    ratios = method.get("speedups") or [
        speed / of_plain for speed, of_plain in zip(method["speeds"], plain["speeds"], strict=True)
    ]
    return Speedup(median(ratios), min(ratios), max(ratios))
