"""Where the parts of a run write what they measure: at once, so that nothing is lost."""

import json
import traceback
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

LINES = "results.jsonl"
RESULTS = "results.json"

Values = dict[str, Any]


class Record:
    """Adds measurements of one part to the lines of a run, and prints them.

    >>> record = Record(folder, "texts")
    >>> record("generate", tokens_per_second=48.1)
    texts | generate | tokens_per_second 48.1
    """

    def __init__(self, folder: Path, part: str, limit: float = inf) -> None:
        """`limit`: seconds after which `attempt` begins nothing more."""
        self._file = folder / LINES
        self.part = part
        self._limit = limit
        self._start = perf_counter()

    def __call__(self, name: str, /, **values: Any) -> None:
        """Write one line; floats with four significant digits.

        A value that is called like one of the line's own keys gets "_" after its name.
        """
        own = {"part": self.part, "name": name, "at": self.seconds}
        values = {f"{key}_" if key in own else key: _rounded(of) for key, of in values.items()}
        line = {**own, **values}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        told = (f"{key} {_short(value)}" for key, value in values.items())
        print(" | ".join([self.part, name, *told]), flush=True)  # noqa: T201

    @property
    def seconds(self) -> float:
        """Seconds since the part began."""
        return round(perf_counter() - self._start, 1)

    def attempt(self, name: str, measure: Callable[[], Values], /) -> Values | None:
        """Record what `measure` returns; if it fails, its error, and go on.

        An error of the device itself is raised: nothing after it would work in this process.
        """
        if self.seconds > self._limit:
            self(name, left_out=f"begun after {self._limit:g} s")
            return None
        try:
            values = measure()
            self(name, **values)
        except Exception as error:
            cause = (str(error).strip() or type(error).__name__).split("\n")[0]
            place = traceback.extract_tb(error.__traceback__)[-1]
            self(
                name,
                error=f"{type(error).__name__}: {cause[:300]}",
                where=f"{Path(place.filename).name}:{place.lineno}",
            )
            if type(error).__name__ == "AcceleratorError":
                raise
            return None
        return values


def lines_of(folder: Path) -> list[Values]:
    """Every line of a run; one that was cut off while it was written is left out."""
    file = folder / LINES
    texts = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    lines: list[Values] = []
    for text in texts:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def write_results(folder: Path) -> None:
    """All lines as one JSON file: part -> its lines."""
    parts: dict[str, list[Values]] = {}
    for line in lines_of(folder):
        parts.setdefault(line.pop("part"), []).append(line)
    text = json.dumps(parts, indent=1, ensure_ascii=False)
    (folder / RESULTS).write_text(text, encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    return value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 240 else text[:240] + " ..."
