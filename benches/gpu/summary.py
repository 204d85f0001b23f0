"""The few numbers that a run is made for, computed from its lines."""

from pathlib import Path
from typing import Any

from benches.gpu.record import Record, Values, lines_of

Lines = dict[str, dict[str, Values]]


def summarise(folder: Path, targets: list[str], assistants: list[str]) -> None:
    """Record them as the part "summary"; what was not measured is left out."""
    lines: Lines = {}
    for line in lines_of(folder):
        lines.setdefault(line["part"], {})[line["name"]] = line
    record = Record(folder, "summary")
    for target in targets:
        for engine in ("graphs", "eager"):
            if table := widths(lines, target, engine):
                record(
                    f"{target}: {engine}, plain",
                    of_bandwidth=table["1"]["of_bandwidth"],
                    pass_ms=table["1"]["wall_ms"],
                )
        for assistant in assistants:
            for way in ("uag graphs", "uag eager"):
                if values := against(lines, target, assistant, way, assistants[0]):
                    record(f"{target} <- {assistant}: {way}", **values)
    plain = speed(lines, f"{targets[0]} <- {assistants[0]}: uag graphs, plain")
    for name in lines.get("texts", {}):
        if "assistant always" in name or "assistant as large" in name:
            record(name, of_plain_graphs=ratio(speed(lines, name), plain))
    firsts = {way: line.get("first_token_s") for way, line in lines.get("first", {}).items()}
    record("seconds to the first token", **{k: v for k, v in firsts.items() if v is not None})


def speed(lines: Lines, name: str, part: str = "texts") -> float | None:
    """Tokens a second of a way, if it was measured."""
    return lines.get(part, {}).get(name, {}).get("tokens_per_second")


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def widths(lines: Lines, model: str, engine: str) -> dict[str, Any]:
    """The passes of a model by width, after the shortest text."""
    found = [
        line["widths"]
        for name, line in lines.get("passes", {}).items()
        if name.startswith(f"{model}: {engine}, after")
    ]
    return found[0] if found else {}


def against(
    lines: Lines, target: str, assistant: str, way: str, first: str
) -> dict[str, float | None]:
    """A way beside the others, and the share of what its own passes allow."""
    mine = lines.get("texts", {}).get(f"{target} <- {assistant}: {way}", {})
    if "tokens_per_second" not in mine:
        return {}
    tokens = mine["tokens_per_second"]
    alone, pair = f"{target} <- {first}: ", f"{target} <- {assistant}: "
    return {
        "tokens_per_second": tokens,
        "x_generate": ratio(tokens, speed(lines, alone + "generate")),
        "x_plain_graphs": ratio(tokens, speed(lines, alone + "uag graphs, plain")),
        "x_assisted": ratio(tokens, speed(lines, pair + "transformers assisted")),
        "x_static_compiled": ratio(
            tokens, speed(lines, f"{target}: generate, static cache, compiled", "compiled")
        ),
        "tokens_per_forward": mine.get("tokens_per_forward"),
        "of_bound": of_bound(lines, target, assistant, way.removeprefix("uag "), mine),
    }


def of_bound(lines: Lines, target: str, assistant: str, engine: str, mine: Values) -> float | None:
    """The share of the time that passes of these widths and these steps take by themselves."""
    table = widths(lines, target, engine)
    steps = [
        line["step_ms"]
        for name, line in lines.get("passes", {}).items()
        if name.startswith(f"{assistant}: {engine}, draft after")
    ]
    if not table or not steps or not mine.get("rounds"):
        return None
    width = (mine["drafted"] + mine["rounds"]) / mine["rounds"]
    near = min(table, key=lambda each: abs(int(each) - width))
    passes = mine["forwards"] * table[near]["wall_ms"] + mine["by_assistant"] * steps[0]
    return passes / 1e3 / (mine["tokens"] / mine["tokens_per_second"])
