"""The few numbers that a run is made for, computed from its lines, beside what they should be."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benches.gpu.passes import RANDOM
from benches.gpu.record import Record, Values, lines_of

Lines = dict[str, dict[str, Values]]

AUTO = "uag graphs"
PLAIN = "uag graphs, plain"


@dataclass(frozen=True, slots=True)
class Criterion:
    """A number that was measured, or `None`, and its limit."""

    name: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None

    def told(self, record: Record) -> None:
        limits = {"at_least": self.at_least, "at_most": self.at_most}
        given = {key: limit for key, limit in limits.items() if limit is not None}
        record(self.name, value=self.value, **given, met=self.met)

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        low = -1e9 if self.at_least is None else self.at_least
        high = 1e9 if self.at_most is None else self.at_most
        return low <= self.value <= high


def summarise(folder: Path, targets: list[str], assistants: list[str]) -> None:
    """Record them as the part "summary": ways beside others, then each criterion."""
    lines: Lines = {}
    for line in lines_of(folder):
        lines.setdefault(line["part"], {})[line["name"]] = line
    record = Record(folder, "summary")
    for target in targets:
        for assistant in assistants:
            for way in ways_of(lines, target, assistant):
                record(f"{target} <- {assistant}: {way}", **against(lines, target, assistant, way))
    for criterion in criteria(lines):
        criterion.told(record)


def criteria(lines: Lines) -> Iterator[Criterion]:
    """What should be so on a card."""
    for model, least in ((RANDOM, 0.8), ("8B", 0.8), ("3B", 0.7)):
        name = f"1: {model}, plain by graphs, share of the copy bandwidth"
        yield Criterion(name, of_bandwidth(lines, model), at_least=least)
        if model != RANDOM:
            share = text_of_bandwidth(lines, model)
            yield Criterion(f"{name}, in texts", share, at_least=least)
    for target, assistant in (("8B", "70M"), ("8B", "500M"), ("3B", "70M")):
        found = against(lines, target, assistant, AUTO)
        yield Criterion(
            f"2: {target} <- {assistant}, share of E[tokens] / (T_verify + k T_draft)",
            found.get("of_bound"),
            at_least=0.9,
        )
    pair = "2: 8B <- 70M, times"
    found = against(lines, "8B", "70M", AUTO)
    yield Criterion(f"{pair} plain by graphs", found.get("x_plain_graphs"), at_least=2.5)
    yield Criterion(f"{pair} generate", found.get("x_generate"), at_least=4)
    yield Criterion(f"{pair} transformers' assisted", found.get("x_assisted"), at_least=3)
    found = against(lines, "8B", "500M", AUTO)
    name = "2: 8B <- 500M, times plain by graphs"
    yield Criterion(name, found.get("x_plain_graphs"), at_least=1.5)
    firsts = [lines.get("first", {}).get(way, {}) for way in ("graphs", "generate")]
    ours, plain = (line.get("first_token_s") for line in firsts)
    later = ours - plain if ours is not None and plain is not None else None
    name = "3: seconds to the first token beyond generate's"
    yield Criterion(name, later, at_most=1.5)
    yield from never_slower(lines)
    yield from same_ids(lines)


def never_slower(lines: Lines) -> Iterator[Criterion]:
    """Beside plain decoding before and after."""
    texts = lines.get("texts", {})
    plain = [
        texts.get(f"8B: plain, {at}", {}).get("tokens_per_second") for at in ("before", "after")
    ]
    known = [each for each in plain if each]
    for case in ("always wrong", "as large as the target"):
        mine = texts.get(f"8B: assistant {case}", {}).get("tokens_per_second")
        value = ratio(mine, mean(known)) if known else None
        yield Criterion(f"4: assistant {case}, times plain by graphs", value, at_least=0.97)


def same_ids(lines: Lines) -> Iterator[Criterion]:
    """The share of texts with the ids that they should have; in bfloat16 also those of ties."""
    for name, line in lines.get("ids", {}).items():
        if "texts" in line:
            ties = line.get("ties", 0)
            value = (line["same"] + ties * ("bfloat16" in name)) / line["texts"]
            yield Criterion(f"5: same ids, {name} ({ties} ties)", value, at_least=1)


def ways_of(lines: Lines, target: str, assistant: str) -> list[str]:
    """The ways of uag that were measured for a pair."""
    pair = f"{target} <- {assistant}: "
    return [
        name.removeprefix(pair)
        for name, line in lines.get("texts", {}).items()
        if name.startswith(f"{pair}uag") and "tokens_per_second" in line
    ]


def speed(lines: Lines, target: str, assistant: str, way: str) -> float | None:
    """Tokens a second of a way with a pair; without an assistant, of the target with any."""
    texts = lines.get("texts", {})
    if assistant:
        return texts.get(f"{target} <- {assistant}: {way}", {}).get("tokens_per_second")
    found = (
        line.get("tokens_per_second")
        for name, line in texts.items()
        if name.startswith(f"{target} <- ") and name.endswith(f": {way}")
    )
    return next(found, None)


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def passes(lines: Lines, model: str, engine: str = "graphs") -> Values:
    """What is known of the passes of a model after the usual context."""
    start = f"{model}: {engine}, after"
    found = (
        line
        for name, line in lines.get("passes", {}).items()
        if name.startswith(start) and line.get("widths")
    )
    return next(found, {})


def of_bandwidth(lines: Lines, model: str) -> float | None:
    """The share of the copy bandwidth that a pass over one id has."""
    return passes(lines, model).get("widths", {}).get("1", {}).get("of_bandwidth")


def text_of_bandwidth(lines: Lines, model: str) -> float | None:
    """The same of plain decoding by graphs, from end to end."""
    known = lines.get("passes", {})
    read = known.get(f"{model}: built", {}).get("bytes")
    copied = known.get("bandwidth", {}).get("copy_gb_s")
    tokens = speed(lines, model, "", PLAIN)
    return tokens * read / copied / 1e9 if tokens and read and copied else None


def against(lines: Lines, target: str, assistant: str, way: str) -> dict[str, float | None]:
    """A way beside the others, and the share of what its own passes allow."""
    mine = lines.get("texts", {}).get(f"{target} <- {assistant}: {way}", {})
    tokens = mine.get("tokens_per_second")
    if not tokens:
        return {}
    static = lines.get("compiled", {}).get(f"{target}: generate, static cache, compiled", {})
    return {
        "tokens_per_second": tokens,
        "x_generate": ratio(tokens, speed(lines, target, "", "generate")),
        "x_plain_graphs": ratio(tokens, speed(lines, target, "", PLAIN)),
        "x_assisted": ratio(tokens, speed(lines, target, assistant, "transformers assisted")),
        "x_static_compiled": ratio(tokens, static.get("tokens_per_second")),
        "tokens_per_forward": mine.get("tokens_per_forward"),
        "of_bound": of_bound(lines, target, assistant, mine) if "graphs" in way else None,
    }


def of_bound(lines: Lines, target: str, assistant: str, mine: Values) -> float | None:
    """The share of the time after prompts that passes of these widths and these steps take."""
    table = passes(lines, target).get("widths", {})
    step = passes(lines, assistant).get("step_ms")
    if not table or not mine.get("passes") or (step is None and mine["by_assistant"]):
        return None
    verify = sum(count * at_width(table, int(width)) for width, count in mine["passes"].items())
    spent = mine["seconds"] - mine["prefill_s"] - mine["setting_up_s"]
    return (verify + mine["by_assistant"] * (step or 0.0)) / 1e3 / spent


def at_width(table: dict[str, Any], width: int) -> float:
    """Milliseconds of a pass, between those of the widths that were measured."""
    known = sorted((int(each), line["wall_ms"]) for each, line in table.items())
    before = [point for point in known if point[0] <= width] or known[:1]
    after = [point for point in known if point[0] >= width] or known[-1:]
    (low, one), (high, other) = before[-1], after[0]
    return one if low == high else one + (other - one) * (width - low) / (high - low)
