"""The cases as Markdown tables for docs/measurements.md."""

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.support.architectures.kinds import CAUSAL, MULTIMODAL, VARIANT
from tests.support.architectures.verdicts import Case, Verdict

# Messages are cut here: the lines of JSON have all of them.
LONGEST = 300

WORST_FIRST = [verdict for verdict in reversed(Verdict) if verdict is not Verdict.EXACT]


def report(cases: Iterable[Case]) -> str:
    """How many kinds have which verdict, then each case that is not exact, with what it says."""
    known = sorted(cases, key=lambda case: (case.kind, case.weights))
    return "\n".join([*_counts(known), "", *_details(known), ""])


def _counts(cases: list[Case]) -> Iterator[str]:
    yield f"| weights | classes | {' | '.join(Verdict)} |"
    yield f"|---|---|{'---|' * len(Verdict)}"
    for group in (CAUSAL, VARIANT, MULTIMODAL):
        by_weights: dict[str, dict[str, Verdict]] = {"the worst of all": {}}
        for case in cases:
            if case.group == group:
                for weights in (case.weights, "the worst of all"):
                    kinds = by_weights.setdefault(weights, {})
                    before = kinds.get(case.kind, Verdict.EXACT)
                    kinds[case.kind] = max(before, case.worst, key=lambda each: each.badness)
        for weights, kinds in sorted(by_weights.items()):
            if kinds:
                counts = Counter(kinds.values())
                numbers = " | ".join(str(counts[verdict]) for verdict in Verdict)
                yield f"| {weights} | {len(kinds)} {group} | {numbers} |"


def _details(cases: list[Case]) -> Iterator[str]:
    """A row for each message of a kind's worst checks."""
    yield "| class | weights | verdict | check | message |"
    yield "|---|---|---|---|---|"
    for verdict in WORST_FIRST:
        told: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for case in cases:
            for found in case.findings:
                if found.verdict is verdict is case.worst:
                    row = told.setdefault((case.kind, _cell(found.message)), [])
                    row.append((case.weights, found.check))
        for (kind, message), places in told.items():
            weights, checks = (dict.fromkeys(each) for each in zip(*places, strict=True))
            yield f"| {kind} | {'; '.join(weights)} | {verdict} | {', '.join(checks)} | {message} |"


def _cell(message: str) -> str:
    line = " ".join(message.split()).replace("|", "\\|")
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
