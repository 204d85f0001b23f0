"""How far to draft what was looked up: its acceptance against the cost of a wider pass."""

from collections.abc import Iterable

from uag.lookahead.acceptance import DECAY, AcceptanceEstimator
from uag.lookahead.costs import Costs
from uag.stats import Round

# Ids of a draft. They cost nothing but the width of the pass.
LONGEST_TEXT = 64
# Beyond ids that are reached so seldom there is nothing to gain.
SELDOM = 0.03
# What a wider pass costs is known roughly: a draft has to gain this many times as much.
REQUIRED_GAIN = 1.25
# Lookups that bring nothing take at most this share of the time, and in the end so do drafts.
WASTE_BUDGET = 0.01
# Prior for the mean number of tokens that one lookup yields.
PRIOR_TOKENS = 0.25


class LookupPolicy:
    """Learns how often looked-up ids are right, by how much matched and how many places agree."""

    def __init__(self) -> None:
        self._first, self._later = AcceptanceEstimator(), AcceptanceEstimator()
        self._brought = PRIOR_TOKENS
        # Rounds until the next lookup.
        self._wait = 0

    def due(self) -> bool:
        """Whether to look up in this round."""
        looks_up = self._wait == 0
        self._wait = max(0, self._wait - 1)
        return looks_up

    def took(self, tokens: int, seconds: float, plain: float | None) -> None:
        """Count a lookup: the tokens it brought and its seconds; a plain round takes `plain`.

        Where lookups cost more than they bring (passes take a millisecond and nothing repeats),
        there is one in several rounds.

        >>> policy = LookupPolicy()
        >>> for _ in range(200):
        ...     if policy.due(): policy.took(0, 0.05, 1.0)
        >>> [policy.due() for _ in range(6)].count(True)
        1
        """
        if not plain:
            return
        self._brought = DECAY * self._brought + (1 - DECAY) * tokens
        price = seconds / plain
        if self._brought < price:
            self._wait = int(price / WASTE_BUDGET)

    def best(
        self, confidences: Iterable[float], rate: float, costs: Costs
    ) -> tuple[list[float], float]:
        """The confidences of the ids worth drafting, and their gain over none, in tokens.

        A second counts as `rate` tokens.

        >>> costs = Costs(); costs.verified(1, 1.0); costs.verified(9, 2.0)
        >>> chosen, gain = LookupPolicy().best([0.9, 0.9, 0.9, 0.01, 0.01], 1.0, costs)
        >>> len(chosen), gain > 1.5
        (3, True)
        """
        known: list[float] = []
        best, most = 0, 0.0
        gain, reached = 0.0, 1.0
        none = costs.verification(1)
        for confidence in confidences:
            reached *= self._estimator(len(known)).chance(confidence)
            if reached < SELDOM:
                break
            known.append(confidence)
            gain += reached
            wider = costs.verification(1 + len(known)) - none
            if gain - REQUIRED_GAIN * rate * wider > most:
                best, most = len(known), gain - REQUIRED_GAIN * rate * wider
        return known[:best], most

    def learn(self, done: Round) -> None:
        """Count a round whose draft was looked up."""
        for index in range(done.judged):
            accepted = index < done.drafted_accepted
            self._estimator(index).observe(done.confidences[index], accepted=accepted)

    def forget(self) -> None:
        """Something was found and not drafted: let estimates fade until it is tried again."""
        self._first.forget_bins()
        self._later.forget_bins()

    def _estimator(self, index: int) -> AcceptanceEstimator:
        return self._later if index else self._first
