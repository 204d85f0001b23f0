"""A target and an assistant side by side: the facts, and what they promise."""

from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from uag.inspection.model_facts import ModelFacts
from uag.inspection.speedup import Range, best_lookahead, break_even, speedup
from uag.inspection.spelling import Sample
from uag.translation.bridge import Both

ACCEPTANCES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
# For ranks: the chance of an assistant, whichever, to guess 4 bytes that the target will write.
FOUR_BYTES = 0.7
ASSUMED_COST = 0.1


@dataclass(frozen=True, slots=True)
class Expectation:
    """What to expect where drafted ids are accepted with a chance.

    Attributes:
        acceptance: that chance, of an id behind accepted ones.
        lookahead: the best number of ids to draft; 0 where none pay.
        speedup: tokens a second, as a multiple of plain decoding's, at most.
    """

    acceptance: float
    lookahead: int
    speedup: float


@dataclass(frozen=True, slots=True)
class Advice:
    """What to say about a pair.

    Attributes:
        obstacles: why the two can't work together; empty if they can.
        cautions: what works, but not as well as it could, or not as one may expect.
        verdict: all of it in a few words.
    """

    obstacles: list[str] = field(default_factory=list[str])
    cautions: list[str] = field(default_factory=list[str])
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A target and an assistant beside each other.

    >>> import uag
    >>> pair = uag.inspect_pair(target_tokenizer, assistant_tokenizer)
    >>> pair.target.core.family, pair.assistant.core.family
    ('byte-level BPE', 'SentencePiece-style BPE')
    >>> pair.obstacles, pair.assistant_per_target > 0
    ([], True)

    Attributes:
        target, assistant: what each is by itself.
        samples: how both spell the same texts.
        shared_strings: tokens, as byte strings, that both vocabularies have.
        target_strings, assistant_strings: how many each has.
        advice: what these facts mean; `inspect_pair` adds it.
    """

    target: ModelFacts
    assistant: ModelFacts
    samples: list[Sample]
    shared_strings: int
    target_strings: int
    assistant_strings: int
    advice: Advice = field(default_factory=Advice)

    @property
    def assistant_per_target(self) -> float:
        """Assistant tokens for each of the target's: the mean over the samples."""
        return mean(one.assistant_per_target for one in self.samples)

    @property
    def bytes_per_token(self) -> Both[float]:
        """The mean over the samples."""
        return Both(
            mean(one.bytes / max(1, one.target_tokens) for one in self.samples),
            mean(one.bytes / max(1, one.assistant_tokens) for one in self.samples),
        )

    @property
    def shared_ends(self) -> float:
        """The share of the target's tokens that end where one of the assistant's does."""
        return mean(one.shared_ends / max(1, one.target_tokens) for one in self.samples)

    @property
    def known(self) -> float:
        """The share of the target's tokens that are, as strings, tokens of the assistant's too."""
        return mean(one.known / max(1, one.target_tokens) for one in self.samples)

    @property
    def same_tokenizer(self) -> bool:
        """Whether both spell the samples with the same tokens, out of the same strings."""
        return (
            self.shared_strings == self.target_strings == self.assistant_strings
            and self.shared_ends == 1
            and self.assistant_per_target == 1
        )

    @property
    def costs(self) -> Range | None:
        """What a draft step costs, in passes of the target: at least and at most.

        A pass takes as long as the memory needs for the weights or as starting each layer's work
        needs, whichever is longer. So the ratio lies between that of the bytes read and that of the
        layers. `None` where a size is not known.
        """
        if self.target.size is None or self.assistant.size is None:
            return None
        ratios = (
            self.assistant.size.read_bytes / self.target.size.read_bytes,
            self.assistant.size.layers / self.target.size.layers,
        )
        return Range(min(ratios), max(ratios))

    @property
    def break_even(self) -> Range | None:
        """The acceptance from which drafting pays, for the lower and the higher cost."""
        if self.costs is None:
            return None
        return Range(*(break_even(1 / self.assistant_per_target, cost) for cost in self.costs))

    def expected(self, cost: float) -> list[Expectation]:
        """The speed-up as a function of acceptance, for a cost such as those of `costs`."""
        rate = 1 / self.assistant_per_target
        return [
            Expectation(acceptance, *best_lookahead(acceptance, rate, cost))
            for acceptance in ACCEPTANCES
        ]

    @property
    def score(self) -> float:
        """The speed-up by which assistants are ranked.

        It takes the higher cost (a tenth of a pass where sizes aren't known), and every assistant
        to guess as well for each byte: how well one really does depends on what it was trained on,
        and only a run can tell. Of the samples, those that its vocabulary can't spell gain nothing.
        """
        acceptance = FOUR_BYTES ** (self.bytes_per_token.assistant / 4)
        cost = self.costs.high if self.costs else ASSUMED_COST
        times = best_lookahead(acceptance, 1 / self.assistant_per_target, cost)[1]
        return 1 + (times - 1) * mean(one.spelled.assistant for one in self.samples)

    @property
    def obstacles(self) -> list[str]:
        """Why the two can't work together; empty if they can."""
        return self.advice.obstacles

    @property
    def cautions(self) -> list[str]:
        """What works, but not as well as it could, or not as one may expect."""
        return self.advice.cautions

    @property
    def verdict(self) -> str:
        """All of it in a few words."""
        return self.advice.verdict

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "target": self.target.as_dict(),
            "assistant": self.assistant.as_dict(),
            "same_tokenizer": self.same_tokenizer,
            "shared_strings": self.shared_strings,
            "target_strings": self.target_strings,
            "assistant_strings": self.assistant_strings,
            "assistant_tokens_per_target_token": round(self.assistant_per_target, 4),
            "bytes_per_target_token": round(self.bytes_per_token.target, 3),
            "bytes_per_assistant_token": round(self.bytes_per_token.assistant, 3),
            "shared_ends": round(self.shared_ends, 4),
            "known_tokens": round(self.known, 4),
            "samples": [_sample_dict(one) for one in self.samples],
            "cost": self.costs and [round(cost, 5) for cost in self.costs],
            "break_even": self.break_even and [round(share, 4) for share in self.break_even],
            "expected": [self._expected_dict(acceptance) for acceptance in ACCEPTANCES]
            if self.costs
            else [],
            "score": round(self.score, 3),
            "obstacles": self.obstacles,
            "cautions": self.cautions,
            "verdict": self.verdict,
        }

    def _expected_dict(self, acceptance: float) -> dict[str, Any]:
        rate = 1 / self.assistant_per_target
        best = [best_lookahead(acceptance, rate, cost) for cost in self.costs or ()]
        return {
            "acceptance": acceptance,
            "lookahead": [k for k, _ in best],
            "speedup": [round(times, 3) for _, times in best],
            "speedup_by_lookahead": [
                [round(speedup(acceptance, k, rate, cost), 3) for k in range(1, 11)]
                for cost in self.costs or ()
            ],
        }


def _sample_dict(one: Sample) -> dict[str, Any]:
    return {
        "name": one.name,
        "bytes": one.bytes,
        "target_tokens": one.target_tokens,
        "assistant_tokens": one.assistant_tokens,
        "shared_ends": one.shared_ends,
        "known_tokens": one.known,
        "target_spells_it": one.spelled.target,
        "assistant_spells_it": one.spelled.assistant,
    }
