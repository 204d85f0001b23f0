"""What happened in each round and what it adds up to: counts and seconds."""

from dataclasses import dataclass, field
from typing import Any

PHASES = ("prefill", "draft", "translate", "verify", "commit", "other")


@dataclass(frozen=True, slots=True)
class Round:
    """One round: a draft, its translation, one forward pass of the target, what was kept.

    >>> done = decoder.generate("Once upon a time", max_new_tokens=8).stats.history[-1]
    >>> len(done.tokens) - done.accepted <= 1
    True

    Attributes:
        tokens: target ids emitted: the accepted candidates, then the target's own id.
        accepted: how many of `tokens` came from the draft (the rest are the target's own).
        drafted: assistant ids drafted, and target ids looked up behind them.
        drafted_accepted: how many of those agreed with the target.
        looked_up: how many of those drafted were looked up in a text: the last ones.
        candidates: target ids that the draft translated to.
        width: ids in the target's pass, with those that only filled it up.
        seconds: wall-clock seconds by phase (`PHASES`). A model's first reading, of its prompt,
            counts as "prefill".
        confidences: the assistant's probability of each drafted id, where the lookahead asks.
        draft_seconds: for each drafted id, what it took.
        searched: whether texts were looked up, with or without a find.
    """

    tokens: list[int]
    accepted: int
    drafted: int
    drafted_accepted: int
    candidates: int
    seconds: dict[str, float]
    width: int = 1
    looked_up: int = 0
    confidences: list[float] = field(default_factory=list[float])
    draft_seconds: list[float] = field(default_factory=list[float])
    searched: bool = False

    @property
    def judged(self) -> int:
        """How many drafted ids the target judged: those accepted, and the first that is not.

        Where none was rejected, those beyond weren't tried.

        >>> Round(
        ...     [7, 8], accepted=1, drafted=5, drafted_accepted=1, candidates=4, seconds={}
        ... ).judged
        2
        """
        rejected = self.accepted < self.candidates
        return min(self.drafted_accepted + rejected, self.drafted)

    @property
    def looked_up_accepted(self) -> int:
        """How many of `looked_up` agreed with the target."""
        return max(0, self.drafted_accepted - (self.drafted - self.looked_up))


@dataclass(slots=True)
class Stats:
    """The rounds of one generation and what they add up to.

    Attributes:
        history: the rounds.
        target_forwards: forward passes of the target.
        engines: how "target" and "assistant" run: "compiled", or "eager", and why if they were to
            be compiled.
        compile_seconds: what compiling took, which is also part of the phases it fell in.
        assistant_error: what failed on the assistant's side, after which the target went on by
            itself; empty if nothing did.

    >>> done = Round([5, 6, 7], accepted=2, drafted=4, drafted_accepted=4, candidates=3, seconds={})
    >>> stats = Stats(history=[done], target_forwards=1)
    >>> stats.tokens, stats.tokens_per_forward
    (3, 3.0)
    """

    history: list[Round] = field(default_factory=list[Round])
    target_forwards: int = 0
    engines: dict[str, str] = field(default_factory=dict[str, str])
    compile_seconds: float = 0.0
    assistant_error: str = ""

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.history)

    @property
    def token_ids(self) -> list[int]:
        """The new target ids."""
        return [id for done in self.history for id in done.tokens]

    @property
    def tokens(self) -> int:
        """Number of new target ids."""
        return sum(len(done.tokens) for done in self.history)

    @property
    def drafted(self) -> int:
        """Assistant ids drafted, and target ids looked up."""
        return sum(done.drafted for done in self.history)

    @property
    def looked_up(self) -> int:
        """How many of those drafted were looked up in a text."""
        return sum(done.looked_up for done in self.history)

    @property
    def looked_up_accepted(self) -> int:
        """How many of those looked up agreed with the target."""
        return sum(done.looked_up_accepted for done in self.history)

    @property
    def candidates(self) -> int:
        """Target ids the drafts translated to."""
        return sum(done.candidates for done in self.history)

    @property
    def accepted(self) -> int:
        """New target ids that came from a draft; the others are the target's own."""
        return sum(done.accepted for done in self.history)

    @property
    def tokens_per_forward(self) -> float:
        """New target ids for each forward pass of the target; 1.0 is plain decoding."""
        return self.tokens / self.target_forwards if self.target_forwards else 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds by phase (`PHASES`)."""
        return {
            phase: sum(done.seconds.get(phase, 0.0) for done in self.history) for phase in PHASES
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it but the single rounds, for JSON."""
        return {
            "tokens": self.tokens,
            "rounds": self.rounds,
            "target_forwards": self.target_forwards,
            "drafted": self.drafted,
            "candidates": self.candidates,
            "accepted": self.accepted,
            "looked_up": self.looked_up,
            "looked_up_accepted": self.looked_up_accepted,
            "tokens_per_forward": round(self.tokens_per_forward, 3),
            "seconds": {phase: round(spent, 6) for phase, spent in self.seconds.items()},
            "engines": self.engines,
            "compile_seconds": round(self.compile_seconds, 3),
            "assistant_error": self.assistant_error or None,
        }
