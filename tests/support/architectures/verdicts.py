"""What comes of a check."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class Verdict(StrEnum):
    """From the best to the worst."""

    EXACT = "exact"
    TIE = "tie"
    SWITCHED_OFF = "switched off"
    REFUSED = "refused"
    NOT_BUILT = "not built"
    WRONG = "WRONG"
    RAW_ERROR = "RAW ERROR"

    @property
    def badness(self) -> int:
        """Its place in that order."""
        return list(Verdict).index(self)

    @property
    def failed(self) -> bool:
        """Whether it breaks the promise."""
        return self in (Verdict.WRONG, Verdict.RAW_ERROR)


@dataclass(frozen=True)
class Finding:
    """The verdict of one check, and why.

    `beside`: how many accepted candidates are none of the drafted ids.
    """

    check: str
    verdict: Verdict
    message: str = ""
    drafted: int = 0
    accepted: int = 0
    beside: int = 0
    seconds: float = 0.0


@dataclass
class Case:
    """All checks of one kind of model with one way to draw its weights."""

    kind: str
    weights: str
    group: str
    architecture: str = ""
    variety: int = 0  # distinct ids in the least varied text
    findings: list[Finding] = field(default_factory=list)

    @property
    def worst(self) -> Verdict:
        """The verdict of its worst check."""
        verdicts = [each.verdict for each in self.findings]
        return max(verdicts, key=lambda each: each.badness, default=Verdict.EXACT)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.worst}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The case that `as_json` wrote."""
        findings = [
            Finding(**each | {"verdict": Verdict(each["verdict"])}) for each in values["findings"]
        ]
        named = {name: value for name, value in values.items() if name != "verdict"}
        return cls(**named | {"findings": findings})
