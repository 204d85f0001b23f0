"""What the rounds of a text add up to, as curves to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from uag.stats import Round

# Ten bins of confidence.
BINS = 10


@dataclass(slots=True)
class Rate:
    """How often something that was tried came true.

    >>> Rate(4, 3).share
    0.75
    """

    tried: int = 0
    true: int = 0

    @property
    def share(self) -> float:
        """The rate; 0 if it was never tried."""
        return self.true / self.tried if self.tried else 0.0

    def count(self, *, came_true: bool) -> None:
        """One more."""
        self.tried += 1
        self.true += came_true


def by_position(rounds: Sequence[Round]) -> list[Rate]:
    """For each place in a draft, how often an id behind accepted ones was accepted too."""
    rates: list[Rate] = []
    for done in rounds:
        for index in range(done.judged):
            if index == len(rates):
                rates.append(Rate())
            rates[index].count(came_true=index < done.drafted_accepted)
    return rates


def by_confidence(rounds: Sequence[Round]) -> list[Rate]:
    """The same for each tenth of the assistant's probability of the id; empty if never asked."""
    rates = [Rate() for _ in range(BINS)]
    for done in rounds:
        for index, confidence in enumerate(done.confidences[: done.judged]):
            at = min(int(confidence * BINS), BINS - 1)
            rates[at].count(came_true=index < done.drafted_accepted)
    return rates if any(rate.tried for rate in rates) else []


def plain_seconds(rounds: Sequence[Round]) -> float | None:
    """What an id takes without drafts, by the rounds that had none; `None` if there were none.

    The first round reads the prompt, so it doesn't count.
    """
    plain = [sum(done.seconds.values()) for done in rounds[1:] if not done.drafted]
    return median(plain) if plain else None
