"""Chooses the lookahead by measured cost and acceptance; docs/lookahead.md derives the rules."""

from collections.abc import Iterable

from uag.draft import GoesOn
from uag.lookahead.costs import Costs
from uag.lookahead.estimates import FIRST_DRAFT, LONGEST, WASTE_BUDGET_START, Estimates
from uag.lookahead.rules.lookups import LONGEST_TEXT, WASTE_BUDGET
from uag.stats import Round

# Shortest and longest pause, in rounds.
SHORT_PAUSE, LONG_PAUSE = 4, 128
# Number of rounds with drafts after which the cost of a plain round is measured again.
STALE = 64
# If drafting is at least this many times as fast as plain decoding, the exact cost of a plain round
# does not matter, and it is not measured again.
CLEAR_WIN = 1.5
# What the very first draft reads counts as at most so many plain rounds: much of it may be what a
# library sets up, once.
SETTING_UP = 10
# Phases that do not belong to a round's forward pass of the target.
BEFORE_PASS = ("draft", "prefill")


class Auto:
    """Drafts as many ids as give the most tokens a second, and none where drafting does not pay.

    An instance keeps the state of one generation, or of several that share their passes. What it
    learns goes into `Estimates`, which all generations of a decoder share.

    >>> auto = Auto()
    >>> auto.start()
    >>> auto.next_k()                                  # first measure what a plain round costs
    0
    """

    longest = LONGEST_TEXT  # most ids of a looked-up draft

    def __init__(self, estimates: Estimates | None = None, *, stops_early: bool = True) -> None:
        """Begin with the given estimates, or with new ones.

        Args:
            estimates: what is known of the models.
            stops_early: whether to decide after each drafted id if the draft continues. That waits
                for the device. If `False`, the number of ids is chosen before the draft. So it is
                where rows share passes: one that went on alone would hold up all others.
        """
        self.estimates = estimates if estimates is not None else Estimates()
        self.costs: Costs = self.estimates.costs(rows=1)
        self._stops_early = stops_early
        self._rows = 1
        # How many rounds of the pause are left.
        self._wait = 0
        # What the assistant's last draft cost beyond the tokens that it gave, in plain rounds.
        self._wasted_rounds = 0.0
        # Whether this round has a draft, and whether the previous one had.
        self._drafts, self._previous_drafted = False, False
        # How many candidates the draft became, if not all of them were read.
        self._candidates: int | None = None
        # Whether the previous pass was over one id: a pass after a wider one takes longer.
        self._previous_was_single = False

    def share(self, rows: int) -> None:
        """See `Sharing`. From now on, seconds are one row's share of a pass."""
        self.costs = self.estimates.costs(rows)
        self._rows = rows

    def start(self) -> None:
        """Begin a generation: drafting is tried again even if it did not pay in the last one."""
        self.share(1)
        self._wait = 0
        self._drafts = False
        self.estimates.start_text()

    def next_k(self) -> int:
        if self._drafts:
            self._judge()
        k = self._choose()
        self._wait = max(0, self._wait - 1)
        if k:
            self.estimates.rounds_since_plain += 1
        elif self._previous_was_single:
            self.estimates.rounds_since_plain = 0
        self._drafts, self._previous_drafted = k > 0, self._drafts
        return k

    def goes_on(self) -> GoesOn | None:
        return (
            _Draft(self.estimates, self.costs).goes_on
            if self._decides_early and self._drafts
            else None
        )

    def update(self, done: Round) -> None:
        self._learn_costs(done)
        self._previous_was_single = done.width == 1
        usual = self.estimates.learn_rate(done, self.costs)
        self.estimates.lookups.drafted(looked_up=bool(done.looked_up))
        if done.looked_up or not done.drafted:
            # The assistant did not draft in this round, so there is nothing to judge it by. The
            # next time it first has to read what was emitted, so its first step takes longer.
            self._drafts = False
        if done.looked_up:
            self.estimates.lookups.learn(done)
        elif done.drafted:
            self.estimates.learn_draft(done, usual, self._candidates or done.candidates)
            if done.tree is not None:
                self.estimates.trees.learn(done.tree.choices)
            self._learn_waste(done, usual)

    @property
    def rests(self) -> bool:
        """Whether the assistant will surely not be asked in the next round, as in this one."""
        if self._drafts:
            return False
        return self._wait > 0 or not self.estimates.may_draft(self.costs, after=1)

    @property
    def pays(self) -> bool:
        """Whether drafting paid when it was last judged, or is new; if not, a draft is a trial."""
        return self.estimates.pays

    def looks_up(self) -> bool:
        """Whether to look up in this round: only once the cost of a plain round is known."""
        return self.costs.plain is not None and self.estimates.lookups.due()

    def reach(self, chances: Iterable[float]) -> list[float]:
        """Choose how many looked-up ids to draft; see `LookupJudge.reach`."""
        plain = self.costs.plain
        if plain is None:
            return []
        rate = self.estimates.overall_rate(self.costs)
        if self.estimates.rounds_since_single >= STALE and rate < CLEAR_WIN / plain:
            return []
        chosen, _ = self.estimates.lookups.best(chances, rate * self._burden, self.costs)
        if not chosen:
            self.estimates.lookups.forget()
        return chosen

    def prefers(self, chances: list[float]) -> bool:
        """Whether to draft looked-up ids of these chances; see `LookupJudge.prefers`."""
        rate = self.estimates.overall_rate(self.costs)
        # With a schedule of the user's own, a draft is as long as it usually is.
        expected = self.estimates.next_draft if self._drafts else self.estimates.usual_draft
        tokens, seconds = expected(self.costs)
        gain = self.estimates.lookups.best(chances, rate * self._burden, self.costs)[1]
        more = (1 + gain - rate * self.costs.verification(1)) - (tokens - rate * seconds)
        return more > 0 and not (self._drafts and self.estimates.is_worth_asking(more))

    def fit(self, ids: int, looked_up: bool) -> int:
        """See `TreeJudge.fit`: all, or as many as fill a narrower pass if the rate is better so."""
        self._candidates = None
        if ids == 1 or looked_up or self._rows > 1:
            return ids
        fitting = self.estimates.fitting(self.costs, ids)
        if fitting < ids:
            self._candidates = ids - 1
        return fitting

    def branches(self) -> bool:
        """See `TreeJudge.branches`: only once it is known what a draft step costs without."""
        return self.costs.knows_chains and self.estimates.trees.due()

    def prune(
        self, parents: list[int], chances: list[float], most: int, chain: list[int]
    ) -> tuple[list[float], int]:
        """See `TreeJudge.prune`."""
        rate = self.estimates.rate(self.costs)
        return self.estimates.trees.best(parents, chances, most, chain, rate, self.costs)

    @property
    def _burden(self) -> float:
        """By how much a wider pass costs more than one row's share of it.

        It is wider for all rows, but only those gain that look up as well.
        """
        return self._rows / (1 + (self._rows - 1) * self.estimates.lookups.share)

    def _choose(self) -> int:
        if self._wait or self._plain_is_due() or not self.estimates.may_draft(self.costs):
            return 0
        if not self.estimates.could_pay(self.costs):
            self.costs.forget_steps()
        if self._decides_early:
            return LONGEST
        return FIRST_DRAFT if self.costs.step is None else self.estimates.best(self.costs)[0]

    @property
    def _decides_early(self) -> bool:
        return self._stops_early and self._rows == 1

    def _plain_is_due(self) -> bool:
        plain = self.costs.plain
        if plain is None:
            return True
        # Where drafting pays clearly, a plain round would only cost.
        return (
            self.estimates.rounds_since_plain >= STALE
            and self.estimates.drafting_rate(self.costs) < CLEAR_WIN / plain
        )

    def _judge(self) -> None:
        """After a round with a draft: begin or extend a pause if drafting does not pay."""
        if self.costs.plain is None or not self.costs.are_steps_known:
            return
        self.estimates.judge(self.costs)
        if not self.estimates.pays:
            shortest, longest = (
                min(max(SHORT_PAUSE, round(self._wasted_rounds / part)), LONG_PAUSE)
                for part in (WASTE_BUDGET_START, WASTE_BUDGET)
            )
            self._wait = self.estimates.pause = min(
                max(2 * self.estimates.pause, shortest), longest
            )

    def _learn_waste(self, done: Round, usual: float) -> None:
        """Count what a draft cost; the very first also sets things up."""
        if not (plain := self.costs.plain):
            return
        self._wasted_rounds = usual / plain - len(done.tokens)
        timed = bool(done.draft_seconds) and not self._previous_drafted
        reading = done.draft_seconds[0] - self.costs.draft(1) if timed else 0.0
        reading = max(0.0, reading) / plain
        if self.costs.are_steps_known:
            self.estimates.waste(self._wasted_rounds, reading)
        else:
            self.estimates.waste(0.0, min(reading, SETTING_UP))

    def _learn_costs(self, done: Round) -> None:
        if done.draft_seconds:
            first, *others = done.draft_seconds
            # Count the time before the first step with it: where steps are short, it takes as long
            # as one.
            first = max(first, done.seconds.get("draft", 0.0) - sum(others))
            self.costs.drafted(
                [first, *others],
                after_draft=self._previous_drafted,
                scored=done.tree is not None,
            )
        if "verify" in done.seconds:
            rest = sum(spent for phase, spent in done.seconds.items() if phase not in BEFORE_PASS)
            if done.width > 1 or self._previous_was_single or self.costs.plain is None:
                self.costs.verified(
                    done.width, rest, branches=done.tree is not None and done.tree.branches
                )
            if self._rows == 1:
                self.costs.padded(done.candidates + 1, done.width)
            if done.searched:
                # Until the first draft, the time of a lookup counts as "prefill".
                before_pass = sum(done.seconds.get(phase, 0.0) for phase in BEFORE_PASS)
                tokens, plain = 0.0, self.costs.plain
                if done.looked_up and plain:
                    tokens = done.accepted - (self.costs.verification(done.width) / plain - 1)
                self.estimates.lookups.took(tokens, before_pass - sum(done.draft_seconds), plain)


class _Draft:
    """Decides after each id of one draft whether to continue it."""

    def __init__(self, estimates: Estimates, costs: Costs) -> None:
        self._estimates, self._costs = estimates, costs
        self._rate = estimates.rate(costs)
        self._reached, self._drafted = 1.0, 0

    def goes_on(self, confidence: float) -> bool:
        """Whether to draft one more id, given the assistant's probability of the last one."""
        self._reached *= self._estimates.acceptance(self._drafted).chance(confidence)
        self._drafted += 1
        return self._estimates.worth_more(self._costs, self._reached, self._drafted, self._rate)
