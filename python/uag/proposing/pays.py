"""How far to draft for an engine whose seconds are not known: by what it accepted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from uag.draft import GoesOn
from uag.lookahead.acceptance import DECAY, AcceptanceEstimator
from uag.stats import Round

# Most ids of a draft.
LONGEST = 20
# After drafts that did not pay there is a pause; this many rounds at first, and at most.
SHORT_PAUSE, LONG_PAUSE = 4, 128
# Ids of the draft that tries again after a pause.
TRY = 2
# What is expected before any draft counts as so many ids.
PRIOR = 4.0
# Looked-up ids that are reached with a smaller chance than this are not proposed: they would only
# make the engine's pass wider.
SELDOM = 0.1


@dataclass(slots=True)
class Share:
    """The share of drafted ids that were accepted; later ones count more.

    >>> share = Share()
    >>> share.add(accepted=3, seen=4)
    >>> share.mean(0.5)
    0.625
    """

    accepted: float = 0.0
    seen: float = 0.0

    def add(self, accepted: int, seen: int) -> None:
        """Count a draft, of which the engine looked at `seen` ids."""
        fade = DECAY**seen
        self.accepted, self.seen = fade * self.accepted + accepted, fade * self.seen + seen

    def mean(self, expected: float) -> float:
        """The share; what is `expected` counts as much as the first few ids."""
        return (self.accepted + PRIOR * expected) / (self.seen + PRIOR)


@dataclass(slots=True)
class Acceptance:
    """What was accepted of drafts: the first id of each, which is right less often, and later ones.

    Attributes:
        first, later: of the assistant's drafts.
        texts: of looked-up ones, by their chances.
    """

    first: Share = field(default_factory=Share)
    later: Share = field(default_factory=Share)
    texts: AcceptanceEstimator = field(default_factory=AcceptanceEstimator)

    def learn(self, done: Round) -> None:
        """Count a round."""
        if done.looked_up:
            for index in range(done.judged):
                accepted = index < done.drafted_accepted
                self.texts.observe(done.confidences[index], accepted=accepted)
        elif done.judged:
            self.first.add(min(1, done.drafted_accepted), 1)
            if done.judged > 1:
                self.later.add(done.drafted_accepted - 1, done.judged - 1)


class WhatPays:
    """The lookahead of one row: as many ids as give the most tokens for what they cost.

    A pass of the target is taken to cost the same with candidates as without, and a drafted id a
    share of it. Where no draft pays, one is tried after pauses that double.

    >>> row = WhatPays(Acceptance(), cost=0.1)
    >>> row.next_k()
    2
    >>> wrong = Round([7], accepted=0, drafted=2, drafted_accepted=0, candidates=2, seconds={})
    >>> for _ in range(9): row.update(wrong)
    >>> [row.next_k() for _ in range(6)]
    [2, 0, 0, 0, 0, 2]
    """

    longest: int | None = None  # most ids of a looked-up draft

    def __init__(self, all_rows: Acceptance, cost: float) -> None:
        """Begin a row.

        Args:
            all_rows: what was accepted of all rows, which a new one begins with.
            cost: what drafting an id costs, in passes of the target.
        """
        self._all, self._own = all_rows, Acceptance()
        self._cost = cost
        self._ids_per_token = 1.0
        self._wait = self._pause = 0

    def see(self, room: int, ids_per_token: float) -> None:
        """Before each round: how many candidates are wanted, and how long they are in drafts."""
        self.longest, self._ids_per_token = room, ids_per_token

    def start(self) -> None:
        pass

    def next_k(self) -> int:
        if best := self._best()[0]:
            self._wait = self._pause = 0
            return best
        if self._wait:
            self._wait -= 1
            return 0
        self._wait = self._pause = min(max(2 * self._pause, SHORT_PAUSE), LONG_PAUSE)
        return TRY

    def goes_on(self) -> GoesOn | None:
        """Return `None`: rows share passes, and one that went on alone would hold up the others."""
        return None

    def update(self, done: Round) -> None:
        self._own.learn(done)
        self._all.learn(done)

    def looks_up(self) -> bool:
        """See `LookupJudge`: a lookup costs next to nothing."""
        return True

    def reach(self, chances: Iterable[float]) -> list[float]:
        """See `LookupJudge`."""
        chosen: list[float] = []
        reached = 1.0
        for chance in chances:
            reached *= self._all.texts.chance(chance)
            if reached < SELDOM:
                break
            chosen.append(chance)
        if not chosen:
            self._all.texts.forget_bins()
        return chosen

    def prefers(self, chances: list[float]) -> bool:
        """See `LookupJudge`: compare the tokens that each promises, less the draft's cost."""
        reached, tokens = 1.0, 0.0
        for chance in chances:
            reached *= self._all.texts.chance(chance)
            tokens += reached
        k, drafted = self._best()
        rate = (1 + drafted) / (1 + k * self._cost)
        return 1 + tokens >= rate

    def _best(self) -> tuple[int, float]:
        """How many ids to draft, and the tokens that are accepted of them, on average."""
        first = self._own.first.mean(self._all.first.mean(0.5))
        later = self._own.later.mean(self._all.later.mean(0.5))
        best, gain, most = 0, 0.0, 1.0
        reached, tokens = first, 0.0
        for k in range(1, min(LONGEST, self._room) + 1):
            tokens += reached / self._ids_per_token
            reached *= later
            if (rate := (1 + tokens) / (1 + k * self._cost)) > most:
                best, gain, most = k, tokens, rate
        return best, gain

    @property
    def _room(self) -> int:
        return LONGEST if self.longest is None else ceil(self.longest * self._ids_per_token)
