"""Statistics over the rounds of a generation, for the charts of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from uag.stats import Round

# Number of bins of confidence, each a tenth wide.
BINS = 10


@dataclass(slots=True)
class Rate:
    """How often something was tried, and how often it came true.

    >>> Rate(4, 3).share
    0.75
    """

    tried: int = 0
    true: int = 0

    @property
    def share(self) -> float:
        """The share that came true; 0 if nothing was tried."""
        return self.true / self.tried if self.tried else 0.0

    def count(self, *, came_true: bool) -> None:
        """Count one more try."""
        self.tried += 1
        self.true += came_true


def by_position(rounds: Sequence[Round]) -> list[Rate]:
    """For each position in a draft, how often its id was accepted if all before it were."""
    rates: list[Rate] = []
    for done in rounds:
        for index in range(done.judged):
            if index == len(rates):
                rates.append(Rate())
            rates[index].count(came_true=index < done.drafted_accepted)
    return rates


def by_confidence(rounds: Sequence[Round]) -> list[Rate]:
    """How often ids were accepted, for each tenth of the assistant's probability of the id.

    Empty if no probabilities were recorded.
    """
    rates = [Rate() for _ in range(BINS)]
    for done in rounds:
        for index, confidence in enumerate(done.confidences[: done.judged]):
            at = min(int(confidence * BINS), BINS - 1)
            rates[at].count(came_true=index < done.drafted_accepted)
    return rates if any(rate.tried for rate in rates) else []


def plain_seconds(rounds: Sequence[Round]) -> float | None:
    """Median seconds of the rounds without a draft, which emit one id; `None` if there were none.

    The first round reads the prompt, so it is left out.
    """
    plain = [sum(done.seconds.values()) for done in rounds[1:] if not done.drafted]
    return median(plain) if plain else None
