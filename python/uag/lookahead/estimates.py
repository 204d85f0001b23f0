"""What is known of two models, learnt while they run: costs, acceptance, tokens a second.

One object serves all generations of a decoder. It says nothing of where a generation stands, so
several may take turns; docs/lookahead.md derives the rules.
"""

from collections import defaultdict, deque
from collections.abc import Iterable

from uag.lookahead.acceptance import DECAY, AcceptanceEstimator
from uag.lookahead.costs import Costs
from uag.lookahead.lookup_rule import LookupPolicy
from uag.stats import Round

LONGEST = 20
# Rounds with drafts from which the rate of drafting is measured; with fewer it is a matter of luck,
# and the estimates say more.
RATE_WINDOW = 64
# Rounds of any kind from which the rate of a generation is measured.
RECENT = 32
# Where drafts could never pay, the cost of a draft step is measured again every so many texts.
RETRY_EVERY_N_TEXTS = 8
# Ids of the first draft of all, whose cost is not known yet.
FIRST_DRAFT = 3


class Estimates:
    """Costs and acceptance of a target and what drafts for it.

    Methods take the `Costs` that hold for the number of rows in a pass: see `costs`.
    """

    def __init__(self) -> None:
        # One row's share of a pass depends on how many rows there are, by powers of two.
        self._costs = defaultdict[int, Costs](Costs)
        # The first id of a draft follows one of the target's own, often inside what the assistant
        # would have spelled as one token; it is accepted less often than later ones.
        self.first, self.later = AcceptanceEstimator(), AcceptanceEstimator()
        self.lookups = LookupPolicy()
        # Of recent rounds of any kind, and of those with a draft of the assistant: tokens emitted,
        # and what such a round usually takes.
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._window: deque[tuple[int, float]] = deque(maxlen=RATE_WINDOW)
        # Drafted ids and the candidates they became; the prior is one for one.
        self._candidates, self._drafted = float(FIRST_DRAFT), float(FIRST_DRAFT)
        # Whether drafting paid when it was last judged, and the plain rounds of the last pause.
        self.pays, self.pause = True, 0
        # Rounds since one in which the assistant wasn't asked, and since one without candidates.
        self.rounds_since_plain, self.rounds_since_single = 0, 0
        self._texts = 0

    def costs(self, rows: int) -> Costs:
        """The costs of passes that the given number of rows share: seconds are one row's part."""
        return self._costs[rows.bit_length()]

    def start_text(self, costs: Costs) -> None:
        """A generation begins."""
        self._texts += 1
        if self._texts % RETRY_EVERY_N_TEXTS == 0 and not self.could_pay(costs):
            # The steps may have been measured while the machine did something else.
            costs.forget_steps()

    def learn_rate(self, done: Round, costs: Costs) -> float:
        """Count a round of any kind; what a round like this usually takes, in seconds."""
        by_assistant = done.drafted - done.looked_up
        usual = costs.draft(by_assistant) if by_assistant else 0.0
        usual += costs.verification(done.width)
        self._recent.append((len(done.tokens), usual))
        self.rounds_since_single = self.rounds_since_single + 1 if done.candidates else 0
        return usual

    def learn_draft(self, done: Round, usual: float) -> None:
        """Count a round with a draft of the assistant, which `usual`ly takes that long."""
        for index in range(done.judged):
            estimator = self.acceptance(index)
            confidence = done.confidences[index] if done.confidences else estimator.mean()
            estimator.observe(confidence, accepted=index < done.drafted_accepted)
        for estimator in (self.first, self.later):
            estimator.forget()
        self._candidates = DECAY * self._candidates + done.candidates
        self._drafted = DECAY * self._drafted + done.drafted
        self._window.append((len(done.tokens), usual))

    def acceptance(self, index: int) -> AcceptanceEstimator:
        """What is known of a draft's id at this index."""
        return self.later if index else self.first

    @property
    def later_chance(self) -> float:
        """The chance of an id after accepted ones; before any was seen, above a first id's."""
        return self.later.mean(expected=(1 + self.first.mean()) / 2)

    @property
    def tokens_per_id(self) -> float:
        """Target ids that a drafted id stands for."""
        return self._candidates / self._drafted

    def best(self, costs: Costs, *, certain: bool = False) -> tuple[int, float]:
        """The best number of ids to draft, and its rate; `certain`: if all were accepted."""
        first, later = (1.0, 1.0) if certain else (self.first.mean(), self.later_chance)
        best, rate, tokens, reached = 1, 0.0, 1.0, first
        for k in range(1, LONGEST + 1):
            tokens += self.tokens_per_id * reached
            reached *= later
            width = 1 + self.tokens_per_id * k
            seconds = costs.draft(k) + costs.verification(width)
            if seconds and tokens / seconds > rate:
                best, rate = k, tokens / seconds
        return best, rate

    def could_pay(self, costs: Costs) -> bool:
        """Whether drafts that are always accepted would pay."""
        plain = costs.plain
        return plain is None or costs.step is None or self.best(costs, certain=True)[1] > 1 / plain

    def drafting_rate(self, costs: Costs) -> float:
        """Tokens a second of rounds with a draft."""
        if len(self._window) < RATE_WINDOW:
            return self.best(costs)[1]
        tokens, seconds = _sums(self._window)
        return tokens / seconds if seconds else 0.0

    def rate(self, costs: Costs) -> float:
        """Tokens a second of the better way to decode, as far as it is known."""
        plain = costs.plain
        return max(self.drafting_rate(costs), 1 / plain if plain else 0.0)

    def overall_rate(self, costs: Costs) -> float:
        """Tokens a second of recent rounds, or of plain ones if they are more."""
        plain = costs.plain
        if plain is None:
            return 0.0
        tokens, seconds = _sums(self._recent)
        return max(tokens / seconds if seconds else 0.0, 1 / plain)

    def usual_draft(self, costs: Costs) -> tuple[float, float]:
        """Tokens and seconds of a round with a draft of the assistant."""
        if not self._window:
            return 1 + self.first.mean(), costs.draft(1) + costs.verification(2)
        tokens, seconds = _sums(self._window)
        return tokens / len(self._window), seconds / len(self._window)

    def worth_more(self, costs: Costs, reached: float, drafted: int, rate: float) -> bool:
        """Whether to continue a draft of `drafted` ids, all accepted with the chance `reached`.

        One more id may not pay where several do: passes cost more in steps. `rate` is the rate, in
        tokens a second, that the other ids have to beat.
        """
        step, tokens = costs.step, self.tokens_per_id
        if step is None:
            return drafted < FIRST_DRAFT
        now, gain, chance = costs.verification(1 + tokens * drafted), 0.0, self.later_chance
        for more in range(1, LONGEST - drafted + 1):
            reached *= chance
            gain += tokens * reached
            wider = costs.verification(1 + tokens * (drafted + more)) - now
            if gain > rate * (step * more + wider):
                return True
        return False


def _sums(rounds: Iterable[tuple[int, float]]) -> tuple[int, float]:
    """The sum of tokens, and of seconds."""
    tokens, seconds = zip(*rounds, strict=True)
    return sum(tokens), sum(seconds)
