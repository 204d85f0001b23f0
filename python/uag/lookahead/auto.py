"""Lookahead by measured cost and acceptance: docs/lookahead.md derives it."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from uag.lookahead.acceptance import DECAY, Calibration
from uag.lookahead.costs import Costs
from uag.lookahead.lookup_rule import IN_VAIN, TextRule
from uag.stats import Round

LONGEST = 20
# Rounds with drafts that tell how fast drafting is; fewer are a matter of luck, and the estimates
# say more.
TELLING = 64
# Rounds of any kind that tell how fast a text comes.
RECENT = 32
# Plain rounds until drafting is tried again: as many as keep what drafts in vain cost to this part
# of the time at first, and to `IN_VAIN` in the end; at least and at most so many.
VAIN_AT_FIRST = 0.2
SHORT_PAUSE, LONG_PAUSE = 4, 128
# Rounds with drafts until the cost of a plain one is measured again.
STALE = 64
# Where drafting is this many times as fast, the cost of a plain round is of no interest.
CLEARLY = 1.5
# Where drafts could never pay, the cost of a draft step is measured again every so many texts.
SECOND_LOOK = 8
# Ids of the first draft of all, whose cost is not known yet.
FIRST_DRAFT = 3
# Phases that do not belong to a round's forward pass of the target.
READING = ("draft", "prefill")


class Auto:
    """Drafts as far as that makes more tokens a second, and not at all where nothing does.

    It keeps what it learns from one text to the next: costs and confidence belong to the models.
    """

    def __init__(self, *, stops_early: bool = True) -> None:
        """`stops_early`: whether a draft asks after each id, which waits for the device."""
        # What a text's part of a pass costs depends on how many share it, by powers of two.
        self._costs = defaultdict[int, Costs](Costs)
        self.share(1)
        # The first id of a draft follows one of the target's own, often in the midst of what the
        # assistant would have spelled as one token; it is accepted less often than later ones.
        self.first, self.later = Calibration(), Calibration()
        self.texts = TextRule()
        self._stops_early = stops_early
        # Of recent rounds of any kind, and of those with a draft of the assistant: tokens emitted,
        # and what such a round usually takes.
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._window: deque[tuple[int, float]] = deque(maxlen=TELLING)
        # Of drafted ids and the candidates they became; as if some had become one each.
        self._candidates, self._drafted = float(FIRST_DRAFT), float(FIRST_DRAFT)
        self._pays = True
        self._wait, self._pause = 0, 0
        # Plain rounds that the last draft of the assistant cost beyond what it brought.
        self._lost = 0.0
        # Rounds since one in which the assistant wasn't asked, and since one without candidates.
        self._since_plain, self._since_one = 0, 0
        # Whether this round drafts, and the one before did.
        self._drafts, self._behind_draft = False, False
        # Whether the pass before was over one id: behind a wider one it takes longer.
        self._behind_one = False
        self._texts = 0

    def share(self, rows: int) -> None:
        """So many texts share each pass from now on; seconds are those of one text's part."""
        self.costs = self._costs[rows.bit_length()]

    def start(self) -> None:
        """A text begins: what did not pay on the last one is tried again."""
        self.share(1)
        self._wait = 0
        self._drafts = False
        self._texts += 1
        if self._texts % SECOND_LOOK == 0 and not self._could_pay():
            # The steps may have been measured while the machine did something else.
            self.costs.forget_steps()

    def next_k(self) -> int:
        if self._drafts:
            self._judge()
        k = self._choose()
        self._wait = max(0, self._wait - 1)
        if k:
            self._since_plain += 1
        elif self._behind_one:
            self._since_plain = 0
        self._drafts, self._behind_draft = k > 0, self._drafts
        return k

    def goes_on(self) -> Callable[[float], bool] | None:
        return _Draft(self).goes_on if self._stops_early and self._drafts else None

    def update(self, done: Round) -> None:
        self._learn_costs(done)
        self._behind_one = done.width == 1
        by_assistant = done.drafted - done.looked_up
        usual = self.costs.draft(by_assistant) if by_assistant else 0.0
        usual += self.costs.verification(done.width)
        self._recent.append((len(done.tokens), usual))
        self._since_one = self._since_one + 1 if done.candidates else 0
        if done.looked_up or not done.drafted:
            # Nothing to judge the assistant by, which has not read what was emitted either.
            self._drafts = False
        if done.looked_up:
            self.texts.learn(done)
        elif done.drafted:
            self._learn_acceptance(done)
            self._window.append((len(done.tokens), usual))
            plain = self.costs.plain
            self._lost = max(0.0, usual / plain - len(done.tokens)) if plain else 0.0

    def reach(self, confidences: Iterable[float]) -> list[float]:
        """Of looked-up ids with such confidences, those of the ones to draft."""
        plain = self.costs.plain
        if plain is None or not self.texts.due():
            return []
        rate = self._overall_rate()
        if self._since_one >= STALE and rate < CLEARLY / plain:
            return []
        chosen, _ = self.texts.best(confidences, rate, self.costs)
        if not chosen:
            self.texts.forget()
        return chosen

    def prefers(self, confidences: list[float]) -> bool:
        """Whether to draft these looked-up ids rather than ask the assistant."""
        rate = self._overall_rate()
        tokens, seconds = self._usual_draft()
        gain = self.texts.best(confidences, rate, self.costs)[1]
        return 1 + gain - rate * self.costs.verification(1) > tokens - rate * seconds

    def worth(self, reached: float, drafted: int, rate: float) -> bool:
        """Whether to draft on behind `drafted` ids, all of them accepted with the chance `reached`.

        One more id may not pay where several do: passes get dearer in steps. `rate` is what tokens
        a second are to be had otherwise.
        """
        step, tokens = self.costs.step, self._tokens_per_id
        if step is None:
            return drafted < FIRST_DRAFT
        now, gain, chance = self.costs.verification(1 + tokens * drafted), 0.0, self._later
        for more in range(1, LONGEST - drafted + 1):
            reached *= chance
            gain += tokens * reached
            wider = self.costs.verification(1 + tokens * (drafted + more)) - now
            if gain > rate * (step * more + wider):
                return True
        return False

    def calibration(self, index: int) -> Calibration:
        """What is known of a draft's ids at this place."""
        return self.later if index else self.first

    def rate(self) -> float:
        """Tokens a second, of the better way to decode, as far as it is known."""
        plain = self.costs.plain
        return max(self._drafting_rate(), 1 / plain if plain else 0.0)

    @property
    def _later(self) -> float:
        """The chance of an id behind accepted ones; until such came, better than a first one's."""
        return self.later.mean(expected=(1 + self.first.mean()) / 2)

    @property
    def _tokens_per_id(self) -> float:
        """Target ids that a drafted id stands for."""
        return self._candidates / self._drafted

    def _drafting_rate(self) -> float:
        """Tokens a second of rounds with a draft."""
        if len(self._window) < TELLING:
            return self._best()[1]
        tokens, seconds = _sums(self._window)
        return tokens / seconds if seconds else 0.0

    def _overall_rate(self) -> float:
        """Tokens a second of recent rounds, or of plain ones if they are more."""
        plain = self.costs.plain
        if plain is None:
            return 0.0
        tokens, seconds = _sums(self._recent)
        return max(tokens / seconds if seconds else 0.0, 1 / plain)

    def _usual_draft(self) -> tuple[float, float]:
        """Tokens and seconds of a round with a draft of the assistant."""
        if not self._window:
            return 1 + self.first.mean(), self.costs.draft(1) + self.costs.verification(2)
        tokens, seconds = _sums(self._window)
        return tokens / len(self._window), seconds / len(self._window)

    def _best(self, *, certain: bool = False) -> tuple[int, float]:
        """The best number of ids to draft, and its rate; `certain`: if all were accepted."""
        first, later = (1.0, 1.0) if certain else (self.first.mean(), self._later)
        best, rate, tokens, reached = 1, 0.0, 1.0, first
        for k in range(1, LONGEST + 1):
            tokens += self._tokens_per_id * reached
            reached *= later
            width = 1 + self._tokens_per_id * k
            seconds = self.costs.draft(k) + self.costs.verification(width)
            if seconds and tokens / seconds > rate:
                best, rate = k, tokens / seconds
        return best, rate

    def _choose(self) -> int:
        if self._wait or self._plain_is_due() or not (self._pays or self._could_pay()):
            return 0
        return LONGEST if self._stops_early else self._best()[0]

    def _plain_is_due(self) -> bool:
        plain = self.costs.plain
        if plain is None:
            return True
        # Where drafting pays clearly, a plain round would only cost.
        return self._since_plain >= STALE and self._drafting_rate() < CLEARLY / plain

    def _could_pay(self) -> bool:
        """Whether drafts that are always right would pay."""
        plain = self.costs.plain
        return plain is None or self.costs.step is None or self._best(certain=True)[1] > 1 / plain

    def _judge(self) -> None:
        """Pause where drafting does not pay."""
        plain = self.costs.plain
        if plain is None:
            return
        self._pays = self._drafting_rate() >= 1 / plain
        if self._pays:
            self._pause = 0
        else:
            shortest, longest = (
                min(max(SHORT_PAUSE, round(self._lost / part)), LONG_PAUSE)
                for part in (VAIN_AT_FIRST, IN_VAIN)
            )
            self._wait = self._pause = min(max(2 * self._pause, shortest), longest)

    def _learn_costs(self, done: Round) -> None:
        if done.draft_seconds:
            first, *others = done.draft_seconds
            # With what precedes the first step, which takes as long as one where steps are short.
            first = max(first, done.seconds.get("draft", 0.0) - sum(others))
            self.costs.drafted([first, *others], behind_draft=self._behind_draft)
        if "verify" in done.seconds:
            rest = sum(spent for phase, spent in done.seconds.items() if phase not in READING)
            if done.width > 1 or self._behind_one or self.costs.plain is None:
                self.costs.verified(done.width, rest)
            # Before there is a draft, its phase still counts as reading the prompt.
            looking = sum(done.seconds.get(phase, 0.0) for phase in READING)
            tokens = done.accepted if done.looked_up else 0
            self.texts.took(tokens, looking - sum(done.draft_seconds), self.costs.plain)

    def _learn_acceptance(self, done: Round) -> None:
        for index in range(done.judged):
            calibration = self.calibration(index)
            confidence = done.confidences[index] if done.confidences else calibration.mean()
            calibration.observe(confidence, accepted=index < done.drafted_accepted)
        for calibration in (self.first, self.later):
            calibration.forget()
        self._candidates = DECAY * self._candidates + done.candidates
        self._drafted = DECAY * self._drafted + done.drafted


def _sums(rounds: Iterable[tuple[int, float]]) -> tuple[int, float]:
    """Of tokens, and of seconds."""
    tokens, seconds = zip(*rounds, strict=True)
    return sum(tokens), sum(seconds)


class _Draft:
    """One draft under way."""

    def __init__(self, auto: Auto) -> None:
        self._auto, self._rate = auto, auto.rate()
        self._reached, self._drafted = 1.0, 0

    def goes_on(self, confidence: float) -> bool:
        """Whether one more id is worth it, now that the last was chosen with this confidence."""
        self._reached *= self._auto.calibration(self._drafted).chance(confidence)
        self._drafted += 1
        return self._auto.worth(self._reached, self._drafted, self._rate)
