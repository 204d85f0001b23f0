"""The cases as a Markdown table for docs/measurements.md."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from tests.support.architectures.verdicts import Case, Verdict

# Messages are cut here: the lines of JSON have all of them.
LONGEST = 300

NOT_BEST = [verdict for verdict in Verdict if verdict is not Verdict.EXACT]


def report(cases: Iterable[Case]) -> str:
    """How many cases have which verdict, then each that is not exact, with what it says."""
    known = sorted(cases, key=lambda case: (case.weights, case.kind))
    return "\n".join([*_counts(known), "", *_details(known), ""])


def _counts(cases: list[Case]) -> list[str]:
    lines = [
        f"| weights | classes | {' | '.join(Verdict)} |",
        f"|---|---|{'---|' * len(Verdict)}",
    ]
    groups = {
        "causal": [case for case in cases if case.causal],
        "image-text-to-text": [case for case in cases if not case.causal],
    }
    for weights, name in sorted({(case.weights, name) for case in cases for name in groups}):
        counts = Counter(case.worst for case in groups[name] if case.weights == weights)
        if counts:
            numbers = " | ".join(str(counts[verdict]) for verdict in Verdict)
            lines.append(f"| {weights} | {counts.total()} {name} | {numbers} |")
    return lines


def _details(cases: list[Case]) -> list[str]:
    lines = ["| class | weights | verdict | check | message |", "|---|---|---|---|---|"]
    for verdict in reversed(NOT_BEST):
        for kind, of_kind in groupby(
            sorted((case for case in cases if case.worst is verdict), key=lambda each: each.kind),
            key=lambda case: case.kind,
        ):
            told: dict[str, list[tuple[str, str]]] = {}
            for case in of_kind:
                for found in case.findings:
                    if found.verdict is verdict:
                        told.setdefault(_cell(found.message), []).append(
                            (case.weights, found.check)
                        )
            for message, places in told.items():
                weights = "; ".join(dict.fromkeys(place[0] for place in places))
                checks = ", ".join(dict.fromkeys(place[1] for place in places))
                lines.append(f"| {kind} | {weights} | {verdict} | {checks} | {message} |")
    return lines


def _cell(message: str) -> str:
    line = " ".join(message.split()).replace("|", "\\|")
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
