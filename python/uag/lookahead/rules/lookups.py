"""How many looked-up ids to draft: their acceptance against the cost of a wider pass."""

from collections.abc import Iterable

from uag.lookahead.acceptance import DECAY, AcceptanceEstimator
from uag.lookahead.costs import Costs
from uag.stats import Round

# Most ids of a looked-up draft. They cost nothing but the width of the pass.
LONGEST_TEXT = 64
# Ids that are reached with a smaller chance than this are not drafted: there is little to gain.
SELDOM = 0.03
# A draft must gain this many times what its wider pass costs, since that cost is known only
# roughly.
REQUIRED_GAIN = 1.25
# Lookups for nothing may take this share of the time. In the end it also holds for the assistant's
# drafts; see `WASTE_BUDGET_START`.
WASTE_BUDGET = 0.01
# Prior for the mean number of tokens that one lookup yields.
PRIOR_TOKENS = 0.25


class LookupPolicy:
    """Decides when to look up and how many of the ids found to draft.

    It learns how often looked-up ids are accepted, by their confidence: a chance computed from the
    length of the match and from how many places agree (`LookupDrafts`).
    """

    def __init__(self) -> None:
        self._first, self._later = AcceptanceEstimator(), AcceptanceEstimator()
        self._mean_tokens = PRIOR_TOKENS
        self.share = 1.0  # of recent rounds, those with a looked-up draft
        # Rounds until the next lookup.
        self._wait = 0

    def due(self) -> bool:
        """Whether to look up in this round."""
        looks_up = self._wait == 0
        self._wait = max(0, self._wait - 1)
        return looks_up

    def took(self, tokens: float, seconds: float, plain: float | None) -> None:
        """Count a lookup.

        Where lookups cost more than they yield (a pass takes a millisecond and nothing repeats),
        there is only one in several rounds.

        Args:
            tokens: how many accepted tokens it yielded, less those that a wider pass for them cost.
            seconds: how long it took.
            plain: seconds of a plain round, if known.

        >>> policy = LookupPolicy()
        >>> for _ in range(200):
        ...     if policy.due(): policy.took(0, 0.05, 1.0)
        >>> [policy.due() for _ in range(6)].count(True)
        1
        """
        if not plain:
            return
        self._mean_tokens = DECAY * self._mean_tokens + (1 - DECAY) * tokens
        price = seconds / plain
        if self._mean_tokens < price:
            self._wait = int(price / WASTE_BUDGET)

    def best(
        self, confidences: Iterable[float], rate: float, costs: Costs
    ) -> tuple[list[float], float]:
        """The confidences of the ids worth drafting, and the net gain of drafting them, in tokens.

        The net gain is the expected number of accepted ids, less the cost of the wider pass. A
        second of that cost counts as `rate` tokens.

        >>> costs = Costs(); costs.verified(1, 1.0); costs.verified(9, 2.0)
        >>> chosen, gain = LookupPolicy().best([0.9, 0.9, 0.9, 0.01, 0.01], 1.0, costs)
        >>> len(chosen), gain > 1.5
        (3, True)
        """
        known: list[float] = []
        best, most = 0, 0.0
        gain, reached = 0.0, 1.0
        plain = costs.verification(1)
        for confidence in confidences:
            reached *= self._estimator(len(known)).chance(confidence)
            if reached < SELDOM:
                break
            known.append(confidence)
            gain += reached
            wider = costs.verification(1 + len(known)) - plain
            if gain - REQUIRED_GAIN * rate * wider > most:
                best, most = len(known), gain - REQUIRED_GAIN * rate * wider
        return known[:best], most

    def drafted(self, *, looked_up: bool) -> None:
        """Count a round of any kind."""
        self.share = DECAY * self.share + (1 - DECAY) * looked_up

    def learn(self, done: Round) -> None:
        """Count a round whose draft was looked up."""
        for index in range(done.judged):
            accepted = index < done.drafted_accepted
            self._estimator(index).observe(done.confidences[index], accepted=accepted)

    def forget(self) -> None:
        """Call this if ids were found but not drafted: estimates fade until drafts are tried again.

        See `AcceptanceEstimator.forget_bins`.
        """
        self._first.forget_bins()
        self._later.forget_bins()

    def _estimator(self, index: int) -> AcceptanceEstimator:
        return self._later if index else self._first
