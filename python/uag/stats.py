"""Counts and seconds of each round, and their totals for a generation."""

from dataclasses import dataclass, field
from typing import Any

from uag.values import shown

# Tokens after which it is said that an assistant did nothing.
NOTICED = 32
PHASES = ("prefill", "draft", "translate", "verify", "commit", "other")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a generation ended.

    >>> decoder.generate("Once upon a time", max_new_tokens=8).stats.history[-1].ending
    Ending(reason='length', by=None)

    Attributes:
        reason: "eos" (an end-of-text id), "length", "stop_string" or "criterion" (one of
            `stopping_criteria`, or `max_time`). Of several at once, the first in this order, with
            "length" last.
        by: the id, the string, or the name of the criterion's class; `None` for the length.
    """

    reason: str
    by: int | str | None = None

    def __str__(self) -> str:
        match self.reason:
            case "eos":
                return f"end id {self.by}"
            case "stop_string":
                return f"stop string {shown(self.by)}"
            case "criterion":
                return str(self.by)
            case _:
                return self.reason


@dataclass(frozen=True, slots=True)
class Judged:
    """How a round went whose candidates were a tree.

    Attributes:
        chain: how many candidates the drafted ids became, others at their places left aside.
        followed: how many of those the target chose, one after the other.
        choices: for each candidate, read or not, at whose place the target chose: how many are
            before it, its estimated chance, and whether it was chosen.
        branches: whether those that were read are no chain.
    """

    chain: int
    followed: int
    choices: list[tuple[int, float, bool]]
    branches: bool = True


@dataclass(frozen=True, slots=True)
class Round:
    """One round: a draft, its translation, one forward pass of the target, the tokens accepted.

    >>> done = decoder.generate("Once upon a time", max_new_tokens=8).stats.history[-1]
    >>> len(done.tokens) - done.accepted <= 1
    True

    Attributes:
        tokens: target ids emitted: the accepted candidates, then the target's own id.
        accepted: how many of `tokens` came from the draft (the rest are the target's own).
        drafted: number of assistant ids drafted, plus target ids looked up after them.
        drafted_accepted: how many of `drafted` agreed with the target.
        looked_up: how many of `drafted` were looked up: the last ones.
        candidates: number of target ids that the draft was translated to, and that were verified.
        width: number of ids in the target's forward pass, padding included.
        seconds: wall-clock seconds by phase (`PHASES`). A model's first pass, over its prompt,
            counts as "prefill".
        confidences: the probability of each drafted id, as estimated by what drafted it; see
            `Draft`.
        draft_seconds: for each id that the assistant drafted, how long it took.
        searched: whether a lookup was tried, even if it found nothing.
        ending: why the generation ends with this round; `None` if it goes on.
        tree: what became of the candidates where they were a tree; `None` for a chain.
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
    ending: Ending | None = None
    tree: Judged | None = None

    @property
    def judged(self) -> int:
        """How many drafted ids the target judged: the accepted ones and the first rejected one.

        If no candidate was rejected, drafted ids beyond the accepted ones were never tried.

        >>> Round(
        ...     [7, 8], accepted=1, drafted=5, drafted_accepted=1, candidates=4, seconds={}
        ... ).judged
        2
        """
        followed, chain = self.accepted, self.candidates
        if self.tree is not None:
            followed, chain = self.tree.followed, min(len(self.tokens), self.tree.chain)
        return min(self.drafted_accepted + (followed < chain), self.drafted)

    @property
    def accepted_beside(self) -> int:
        """How many of the accepted candidates the drafted ids alone would not have given.

        >>> counts = {"accepted": 2, "drafted": 3, "drafted_accepted": 1, "candidates": 9}
        >>> Round([7, 8, 9], **counts, seconds={}, tree=Judged(3, 1, [])).accepted_beside
        1
        """
        return 0 if self.tree is None else max(0, self.accepted - self.tree.followed)

    @property
    def by_writer(self) -> tuple[tuple[list[int], bool], tuple[list[int], bool]]:
        """`tokens` in two parts, each with whether it was drafted: the accepted ones, the others.

        >>> Round(
        ...     [7, 8], accepted=1, drafted=5, drafted_accepted=1, candidates=4, seconds={}
        ... ).by_writer
        (([7], True), ([8], False))
        """
        return (self.tokens[: self.accepted], True), (self.tokens[self.accepted :], False)

    @property
    def looked_up_accepted(self) -> int:
        """How many of `looked_up` agreed with the target."""
        return max(0, self.drafted_accepted - (self.drafted - self.looked_up))


@dataclass(slots=True, repr=False)
class Stats:
    """The rounds of one generation and their totals.

    Attributes:
        history: the rounds.
        target_forwards: number of forward passes of the target.
        engines: how "target" and "assistant" run: "eager", "graphs" or "compiled". If the engine
            that was asked for is not possible, "eager: " and the reason.
        compile_seconds: seconds spent compiling or capturing while the text was decoded, for it or
            for others that shared its passes. They are no part of the phases in which that
            happened, so that `lookahead="auto"` learns what a round usually costs.
        assistant_error: what failed on the assistant's side, after which the target continued
            alone; empty if nothing failed.
        chains: why drafts were chains though the decoder has a `tree`, and what to do about it;
            empty if they could be trees, or were not asked for.
        prompt_hints: what the caller should know of the prompt.
        cached_tokens: how many of the prompt's ids the target did not read, as the KV cache of an
            earlier text that begins alike served.

    >>> done = Round([5, 6, 7], accepted=2, drafted=4, drafted_accepted=4, candidates=3, seconds={})
    >>> stats = Stats(history=[done], target_forwards=1)
    >>> stats.tokens, stats.tokens_per_forward, stats.acceptance
    (3, 3.0, 1.0)
    >>> stats
    Stats(3 tokens in 0.00 s, 3.00 a pass, 100% of drafts accepted)
    """

    history: list[Round] = field(default_factory=list[Round])
    target_forwards: int = 0
    engines: dict[str, str] = field(default_factory=dict[str, str])
    compile_seconds: float = 0.0
    assistant_error: str = ""
    chains: str = ""
    prompt_hints: list[str] = field(default_factory=list[str])
    cached_tokens: int = 0

    @property
    def hints(self) -> list[str]:
        """What makes a text slower or worse than need be: a line for each, with the remedy."""
        return [*self.prompt_hints, *filter(None, [self._idle])]

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
        """Number of assistant ids drafted, plus target ids looked up."""
        return sum(done.drafted for done in self.history)

    @property
    def drafted_accepted(self) -> int:
        """How many of `drafted` agreed with the target."""
        return sum(done.drafted_accepted for done in self.history)

    @property
    def looked_up(self) -> int:
        """How many of `drafted` were looked up."""
        return sum(done.looked_up for done in self.history)

    @property
    def looked_up_accepted(self) -> int:
        """How many of `looked_up` agreed with the target."""
        return sum(done.looked_up_accepted for done in self.history)

    @property
    def candidates(self) -> int:
        """Number of target ids that the drafts were translated to."""
        return sum(done.candidates for done in self.history)

    @property
    def accepted(self) -> int:
        """Number of new target ids that came from a draft; the others are the target's own."""
        return sum(done.accepted for done in self.history)

    @property
    def tokens_per_forward(self) -> float:
        """New target ids per forward pass of the target; plain decoding has 1.0."""
        return self.tokens / self.target_forwards if self.target_forwards else 0.0

    @property
    def acceptance(self) -> float | None:
        """Which share of `drafted` agreed with the target; `None` if nothing was drafted."""
        return self.drafted_accepted / self.drafted if self.drafted else None

    @property
    def seconds_total(self) -> float:
        """Wall-clock seconds of all rounds; in a batch, with a share of the passes in common."""
        return sum(spent for done in self.history for spent in done.seconds.values())

    @property
    def tokens_per_second(self) -> float:
        """New target ids per second of `seconds_total`."""
        return self.tokens / self.seconds_total if self.seconds_total else 0.0

    @property
    def ending(self) -> Ending | None:
        """Why the generation ended; `None` if it goes on."""
        return self.history[-1].ending if self.history else None

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds by phase (`PHASES`)."""
        return {
            phase: sum(done.seconds.get(phase, 0.0) for done in self.history) for phase in PHASES
        }

    def as_dict(self) -> dict[str, Any]:
        """The totals as a dictionary for JSON, without the rounds."""
        return {
            "tokens": self.tokens,
            "cached_tokens": self.cached_tokens,
            "rounds": self.rounds,
            "target_forwards": self.target_forwards,
            "drafted": self.drafted,
            "candidates": self.candidates,
            "accepted": self.accepted,
            "looked_up": self.looked_up,
            "looked_up_accepted": self.looked_up_accepted,
            "tokens_per_forward": round(self.tokens_per_forward, 3),
            "acceptance": None if self.acceptance is None else round(self.acceptance, 3),
            "tokens_per_second": round(self.tokens_per_second, 3),
            "seconds_total": round(self.seconds_total, 6),
            "seconds": {phase: round(spent, 6) for phase, spent in self.seconds.items()},
            "engines": self.engines,
            "compile_seconds": round(self.compile_seconds, 3),
            "assistant_error": self.assistant_error or None,
            "chains": self.chains or None,
            "hints": self.hints,
        }

    @property
    def _idle(self) -> str:
        """Why the assistant model was of no use; empty if it was, or the text is short."""
        if "assistant" not in self.engines or self.assistant_error or self.tokens < NOTICED:
            return ""
        drafted = self.drafted - self.looked_up
        if not drafted:
            return (
                "the assistant drafted nothing: by what was measured, a draft costs more than it "
                "saves here; try a smaller assistant (uag inspect compares them)"
            )
        if self.drafted_accepted > self.looked_up_accepted:
            return ""
        return (
            "no draft of the assistant was accepted: it may be made for another language or chat "
            "format; try another one (uag inspect compares them)"
        )

    def summary(self) -> str:
        """What a person wants to know, in a line."""
        facts = [f"{self.tokens} tokens in {self.seconds_total:.2f} s"]
        if self.seconds_total:
            facts.append(f"{self.tokens_per_second:.1f} tokens/s")
        facts.append(f"{self.tokens_per_forward:.2f} a pass")
        if self.acceptance is not None:
            facts.append(f"{self.acceptance:.0%} of drafts accepted")
        if self.assistant_error:
            facts.append("the assistant failed")
        if self.ending is not None:
            facts.append(f"ended by {self.ending}")
        return ", ".join(facts)

    def __repr__(self) -> str:
        return f"Stats({self.summary()})"
