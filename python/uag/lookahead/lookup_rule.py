"""How far to draft what was looked up: its chances against the price of a wider pass."""

from collections.abc import Iterable

from uag.lookahead.acceptance import DECAY, Calibration
from uag.lookahead.costs import Costs
from uag.stats import Round

# Ids of a draft. They cost nothing but the width of the pass.
LONGEST_TEXT = 64
# Beyond ids that are reached so seldom there is nothing to gain.
SELDOM = 0.03
# What a wider pass costs is known roughly: a draft has to gain so many times as much.
MARGIN = 1.25
# Looking up in vain takes at most this part of the time, and in the end so does drafting in vain.
IN_VAIN = 0.01
# Tokens that a look-up has brought, on the average; at first, as if it had been so many.
AT_FIRST = 0.25


class TextRule:
    """Learns how often looked-up ids are right, by how much matched and how many places agree."""

    def __init__(self) -> None:
        self._first, self._later = Calibration(), Calibration()
        self._brought = AT_FIRST
        # Rounds until the next look-up, and whether this round had one.
        self._wait = 0
        self._looked = False

    def due(self) -> bool:
        """Whether to look up in this round."""
        self._looked = self._wait == 0
        self._wait = max(0, self._wait - 1)
        return self._looked

    def took(self, tokens: int, seconds: float, plain: float | None) -> None:
        """What the round's look-up brought, and took; a plain round takes `plain` seconds.

        Where that is more than it brings, as where passes take a millisecond and nothing repeats,
        there is one in several rounds.

        >>> rule = TextRule()
        >>> for _ in range(200):
        ...     if rule.due(): rule.took(0, 0.05, 1.0)
        >>> [rule.due() for _ in range(6)].count(True)
        1
        """
        if not self._looked or not plain:
            return
        self._brought = DECAY * self._brought + (1 - DECAY) * tokens
        price = seconds / plain
        if self._brought < price:
            self._wait = int(price / IN_VAIN)

    def best(
        self, confidences: Iterable[float], rate: float, costs: Costs
    ) -> tuple[list[float], float]:
        """The confidences of the ids to draft, and what they gain over none, in tokens.

        A second counts as `rate` tokens.

        >>> costs = Costs(); costs.verified(1, 1.0); costs.verified(9, 2.0)
        >>> chosen, gain = TextRule().best([0.9, 0.9, 0.9, 0.01, 0.01], 1.0, costs)
        >>> len(chosen), gain > 1.5
        (3, True)
        """
        heard: list[float] = []
        best, most = 0, 0.0
        gain, reached = 0.0, 1.0
        none = costs.verification(1)
        for confidence in confidences:
            reached *= self._calibration(len(heard)).chance(confidence)
            if reached < SELDOM:
                break
            heard.append(confidence)
            gain += reached
            wider = costs.verification(1 + len(heard)) - none
            if gain - MARGIN * rate * wider > most:
                best, most = len(heard), gain - MARGIN * rate * wider
        return heard[:best], most

    def learn(self, done: Round) -> None:
        """Hear what became of ids that were looked up."""
        for index in range(done.judged):
            accepted = index < done.drafted_accepted
            self._calibration(index).observe(done.confidences[index], accepted=accepted)

    def forget(self) -> None:
        """Something was found and not drafted: in time it is tried again."""
        self._first.forget_bins()
        self._later.forget_bins()

    def _calibration(self, index: int) -> Calibration:
        return self._later if index else self._first
