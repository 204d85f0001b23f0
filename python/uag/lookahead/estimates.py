"""What a decoder learns about its models while decoding: costs, acceptance, tokens a second.

All generations of a decoder share one object. It has no state of a single generation, so several
may take turns. docs/lookahead.md derives the rules.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from functools import cached_property, partial

from uag.lookahead.acceptance import DECAY, AcceptanceEstimator
from uag.lookahead.costs import Costs
from uag.lookahead.rules.lookups import WASTE_BUDGET, LookupPolicy
from uag.lookahead.rules.trees import TreeRule
from uag.stats import Round

# Most ids of a draft of the assistant.
LONGEST = 20
# Number of rounds with drafts from which the rate of drafting is measured. The rate of fewer rounds
# depends too much on luck; then the rate is estimated from costs and acceptance.
RATE_WINDOW = 64
# Number of rounds of any kind from which the rate of a generation is measured.
RECENT = 32
# An assistant whose drafts would save less than this share of the time if all of them were accepted
# never pays. To find out whether others do, drafts may waste so many plain rounds, times the share
# beyond that.
LEAST_GAIN, PATIENCE = 0.1, 30
# Of these, so many are wasted before there is any pause: the first few drafts may be unlucky.
AT_FIRST = 5
# After drafts that did not pay there is a pause of plain rounds. It is as long as it must be for
# wasted drafts to take this share of the time at first, and `WASTE_BUDGET` in the end.
WASTE_BUDGET_START = 0.2
# Ids of the very first draft, while the cost of a step is not known yet: the first of them also
# shows what it takes to read the prompt.
FIRST_DRAFT = 2


class Estimates:
    """Costs and acceptance of a target and its draft side.

    Methods take the `Costs` for the number of rows in a pass; see `costs`.

    >>> estimates = Estimates()
    >>> costs = estimates.costs(rows=1)
    >>> for _ in range(3):
    ...     costs.verified(1, 1.0); costs.verified(9, 1.2); costs.drafted([0.1, 0.1])
    >>> estimates.could_pay(costs)                     # a draft step is cheap, a wide pass too
    True
    """

    def __init__(self, *, sets_up_apart: bool = False) -> None:
        """Begin with nothing known; for `sets_up_apart`, see `Costs`."""
        # One row's share of a pass depends on the number of rows, which is grouped by powers of 2.
        self._costs = defaultdict[int, Costs](partial(Costs, sets_up_apart=sets_up_apart))
        # The first id of a draft follows one of the target's own, often inside what the assistant
        # would have spelled as one token. So it is accepted less often than later ids.
        self.first, self.later = AcceptanceEstimator(), AcceptanceEstimator()
        self.lookups, self.trees = LookupPolicy(), TreeRule()
        # Tokens emitted in a round and the seconds that such a round usually takes: of recent
        # rounds of any kind, and of recent rounds with a draft of the assistant.
        self._recent, self._window = _Rounds(RECENT), _Rounds(RATE_WINDOW)
        # Drafted ids, and the candidates that they became; the prior is one candidate per id.
        self._candidates, self._drafted = float(FIRST_DRAFT), float(FIRST_DRAFT)
        # Whether drafting paid when it was last judged, or is new; the length of the last pause.
        self.pays, self.pause = True, 0
        # Plain rounds that drafts wasted since they last paid, less `WASTE_BUDGET` of all rounds;
        # and those that the assistant's reading took in the newest text.
        self._wasted, self._reading = 0.0, 0.0
        # Rounds since the last in which the assistant wasn't asked, and since the last without
        # candidates.
        self.rounds_since_plain, self.rounds_since_single = 0, 0
        # Tokens emitted since the assistant's last draft.
        self._tokens_since_draft = 0
        # The last answer of `best`, and all that it depends on.
        self._best: tuple[tuple[float, ...], tuple[int, float]] | None = None

    def costs(self, rows: int) -> Costs:
        """The costs of passes shared by `rows` rows; seconds are one row's share."""
        return self._costs[rows.bit_length()]

    def start_text(self) -> None:
        """Call this when a generation begins: what was read for the last one is of no more use."""
        self.waste(self._reading)
        self._reading = 0.0

    def waste(self, rounds: float, reading: float = 0.0) -> None:
        """Count what a draft cost beyond the tokens that it gave, in plain rounds.

        `reading`: what the assistant's reading took, from which later drafts gain as well.
        """
        self._wasted = max(0.0, self._wasted + rounds)
        self._reading += reading

    def judge(self, costs: Costs) -> None:
        """Find out whether drafting pays."""
        plain = costs.plain
        if plain is None or self.drafting_rate(costs) >= 1 / plain:
            self.pays = True
            self.pause, self._wasted, self._reading = 0, 0.0, 0.0
        else:
            self.pays = self._wasted <= AT_FIRST * (self._most_gain(costs) - LEAST_GAIN)

    def learn_rate(self, done: Round, costs: Costs) -> float:
        """Count a round of any kind; returns the seconds that such a round usually takes."""
        by_assistant = done.drafted - done.looked_up
        usual = costs.draft(by_assistant) if by_assistant else 0.0
        usual += costs.verification(done.width)
        self._recent.add(len(done.tokens), usual)
        self._tokens_since_draft += len(done.tokens)
        self.waste(-WASTE_BUDGET)
        self.rounds_since_single = self.rounds_since_single + 1 if done.candidates else 0
        return usual

    def learn_draft(self, done: Round, usual: float, candidates: int) -> None:
        """Count a round with a draft of the assistant.

        Args:
            done: the round.
            usual: the seconds that such a round usually takes, from `learn_rate`.
            candidates: how many the draft became; not all of them may have been read.
        """
        for index in range(done.judged):
            estimator = self.acceptance(index)
            confidence = done.confidences[index] if done.confidences else estimator.mean()
            estimator.observe(confidence, accepted=index < done.drafted_accepted)
        for estimator in (self.first, self.later):
            estimator.forget()
        self._candidates = DECAY * self._candidates + (
            candidates if done.tree is None else done.tree.chain
        )
        self._drafted = DECAY * self._drafted + done.drafted
        self._window.add(len(done.tokens), usual)
        self._tokens_since_draft = 0

    def acceptance(self, index: int) -> AcceptanceEstimator:
        """The estimator for the id at this index of a draft."""
        return self.later if index else self.first

    @property
    def later_chance(self) -> float:
        """The chance of an id after accepted ones; it starts above that of a draft's first id."""
        return self.later.mean(expected=(1 + self.first.mean()) / 2)

    @property
    def tokens_per_id(self) -> float:
        """Mean number of candidates (target ids) per drafted id."""
        return self._candidates / self._drafted

    def best(self, costs: Costs, *, certain: bool = False) -> tuple[int, float]:
        """The number of ids to draft that gives the highest rate, and that rate in tokens a second.

        `certain`: assume that every drafted id is accepted.
        """
        chances = (1.0, 1.0) if certain else (self.first.mean(), self.later_chance)
        # It is asked for several times a round, while a device waits.
        about = id(costs), costs.changes, self.tokens_per_id, *chances
        if self._best is None or self._best[0] != about:
            self._best = about, self._found_best(costs, *chances)
        return self._best[1]

    def _found_best(self, costs: Costs, first: float, later: float) -> tuple[int, float]:
        best, rate, before = 1, 0.0, 1.0
        for k, (tokens, seconds) in enumerate(self._drafts(costs, LONGEST, first, later), 1):
            if seconds and tokens / seconds > rate:
                best, rate = k, tokens / seconds
            # A longer draft takes longer, and each further id gives no more than this one.
            if tokens + (LONGEST - k) * (tokens - before) <= rate * seconds:
                break
            before = tokens
        return best, rate

    def fitting(self, costs: Costs, ids: int) -> int:
        """How many of so many ids to read, where a pass over fewer of them is of a narrower width.

        The last candidates of a draft are seldom accepted, and a wider pass may take much longer.
        """
        if not (narrower := costs.narrower(ids)):
            return ids
        rate, whole = self.rate(costs), costs.verification(ids)
        first, tokens = self.first.mean(), self.tokens_per_id
        each = self.later_chance ** (1 / tokens)  # the chance of a candidate after accepted ones
        best, most, lost, end = ids, 0.0, 0.0, ids
        for width in reversed(narrower):
            # The chance that the first `count` candidates are accepted.
            lost += sum(first * each ** max(0.0, count - tokens) for count in range(width, end))
            end = width
            if (gain := rate * (whole - costs.verification(width)) - lost) > most:
                best, most = width, gain
            if lost >= rate * whole:  # no narrower pass saves more
                break
        return best

    def _drafts(
        self, costs: Costs, longest: int, first: float, later: float
    ) -> Iterator[tuple[float, float]]:
        """Expected tokens and seconds of a round with a draft of 1, 2, ... ids."""
        tokens, reached, each = 1.0, first, self.tokens_per_id
        for k in range(1, longest + 1):
            tokens += each * reached
            reached *= later
            yield tokens, costs.draft(k) + costs.verification(1 + each * k)

    def could_pay(self, costs: Costs) -> bool:
        """Whether drafts would pay if all of them were accepted; `True` until costs are known."""
        plain = costs.plain
        if self.pays and plain and self.drafting_rate(costs) * plain * (1 - LEAST_GAIN) > 1:
            return True  # they do as it is
        return self._most_gain(costs) > LEAST_GAIN

    def may_draft(self, costs: Costs, after: int = 0) -> bool:
        """Whether drafts have not wasted too much since they last paid, `after` so many rounds.

        The more they could save, the more they may waste. Where even drafts that are all accepted
        would not pay, they take `WASTE_BUDGET` of the time, as costs may have been measured while
        the machine was busy with something else.
        """
        if self.pays:
            return True
        more, wasted = self._most_gain(costs) - LEAST_GAIN, self._wasted - after * WASTE_BUDGET
        return wasted <= PATIENCE * more if more > 0 else wasted + self._reading <= 0

    def _most_gain(self, costs: Costs) -> float:
        """The share of the time that drafts would save if all of them were accepted."""
        plain = costs.plain
        if plain is None or costs.step is None or not costs.are_steps_known:
            return 1.0
        return 1 - 1 / (plain * self.best(costs, certain=True)[1])

    def drafting_rate(self, costs: Costs) -> float:
        """Tokens a second of rounds with a draft: measured or, with few rounds, estimated."""
        if len(self._window) < RATE_WINDOW:
            return self.best(costs)[1]
        return self._window.rate

    def rate(self, costs: Costs) -> float:
        """Tokens a second of the better method, drafting or plain, as far as they are known."""
        plain = costs.plain
        return max(self.drafting_rate(costs), 1 / plain if plain else 0.0)

    def overall_rate(self, costs: Costs) -> float:
        """Tokens a second of recent rounds, or of plain rounds if that is more."""
        plain = costs.plain
        if plain is None:
            return 0.0
        return max(self._recent.rate, 1 / plain)

    def usual_draft(self, costs: Costs) -> tuple[float, float]:
        """Mean tokens and seconds of a round with a draft of the assistant."""
        if not self._window:
            return 1 + self.first.mean(), costs.draft(1) + costs.verification(2)
        return self._window.mean

    def next_draft(self, costs: Costs) -> tuple[float, float]:
        """Expected tokens and seconds of a round with the `best` number of ids.

        As with `drafting_rate`, luck has no part in it where there were few such rounds.
        """
        if len(self._window) >= RATE_WINDOW:
            return self.usual_draft(costs)
        k, _ = self.best(costs)
        return [*self._drafts(costs, k, self.first.mean(), self.later_chance)][-1]

    def is_worth_asking(self, less: float) -> bool:
        """Whether to ask the assistant for a draft that promises so many tokens less than a lookup.

        Otherwise one that had bad luck at first would never be asked again where lookups always
        find something. The fewer drafts there were, the larger the share of tokens that it may
        cost.
        """
        share = max(WASTE_BUDGET, WASTE_BUDGET_START / (1 + len(self._window)))
        return less < share * self._tokens_since_draft

    def worth_more(self, costs: Costs, reached: float, drafted: int, rate: float) -> bool:
        """Whether to continue a draft of `drafted` ids.

        The cost of a pass rises in steps with its width, so one more id may not pay where several
        more do. Hence every possible number of further ids is considered.

        Args:
            costs: the costs to use.
            reached: the chance that all `drafted` ids are accepted.
            drafted: the number of ids drafted so far.
            rate: tokens a second that the further ids must exceed.
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


class _Rounds:
    """Tokens of the last `most` rounds, and the seconds that such rounds usually take.

    Attributes:
        rate: all tokens by all seconds; 0 without any.
        mean: tokens and seconds of one of them.
    """

    def __init__(self, most: int) -> None:
        self._tokens, self._seconds = deque[int](maxlen=most), deque[float](maxlen=most)

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, tokens: int, seconds: float) -> None:
        self._tokens.append(tokens)
        self._seconds.append(seconds)
        vars(self).pop("sums", None)

    @cached_property
    def sums(self) -> tuple[int, float]:
        """All tokens and all seconds; asked for several times a round."""
        return sum(self._tokens), sum(self._seconds)

    @property
    def rate(self) -> float:
        tokens, seconds = self.sums
        return tokens / seconds if seconds else 0.0

    @property
    def mean(self) -> tuple[float, float]:
        tokens, seconds = self.sums
        return tokens / len(self), seconds / len(self)
