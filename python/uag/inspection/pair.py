"""A target and an assistant compared: the facts, and the speed-up to expect from them."""

from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from uag.inspection.model_facts import ModelFacts
from uag.inspection.speedup import Range, best_lookahead, break_even, speedup
from uag.inspection.spelling import Sample
from uag.translation.bridge import Both

ACCEPTANCES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
# For ranking: the probability, the same for every assistant, that it drafts 4 bytes correctly.
FOUR_BYTES = 0.7
# For ranking: the cost of a draft step if sizes are unknown.
ASSUMED_COST = 0.1


@dataclass(frozen=True, slots=True)
class Expectation:
    """The speed-up to expect at some acceptance rate.

    Attributes:
        acceptance: the probability that a drafted id is accepted if those before it are.
        lookahead: the best number of ids to draft in a round; 0 if drafting does not pay.
        speedup: tokens a second as a multiple of plain decoding's; an upper bound.
    """

    acceptance: float
    lookahead: int
    speedup: float


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice about a pair.

    Attributes:
        obstacles: why the two cannot work together; empty if they can.
        cautions: what works, but not as well as it could, or not as one may expect.
        verdict: a summary in a few words.
    """

    obstacles: list[str] = field(default_factory=list[str])
    cautions: list[str] = field(default_factory=list[str])
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A target and an assistant compared by `inspect_pair`.

    >>> import uag
    >>> pair = uag.inspect_pair(target_tokenizer, assistant_tokenizer)
    >>> pair.target.core.family, pair.assistant.core.family
    ('byte-level BPE', 'SentencePiece-style BPE')
    >>> pair.obstacles, pair.assistant_per_target > 0
    ([], True)

    Attributes:
        target, assistant: the facts about each.
        samples: how both tokenizers spell the same texts.
        shared_strings: number of tokens, as byte strings, that both vocabularies contain.
        target_strings, assistant_strings: number of different byte strings in each vocabulary.
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
        """Assistant tokens per target token: the mean over the samples."""
        return mean(one.assistant_per_target for one in self.samples)

    @property
    def bytes_per_token(self) -> Both[float]:
        """Bytes per token of each tokenizer: the mean over the samples."""
        return Both(
            mean(one.bytes / max(1, one.target_tokens) for one in self.samples),
            mean(one.bytes / max(1, one.assistant_tokens) for one in self.samples),
        )

    @property
    def shared_ends(self) -> float:
        """Share of the target's tokens that end where an assistant token ends, in the samples."""
        return mean(one.shared_ends / max(1, one.target_tokens) for one in self.samples)

    @property
    def known(self) -> float:
        """Share of the target's tokens in the samples that are in the assistant's vocabulary."""
        return mean(one.known / max(1, one.target_tokens) for one in self.samples)

    @property
    def same_tokenizer(self) -> bool:
        """Whether both have the same strings as tokens and spell the samples with the same ones."""
        return (
            self.shared_strings == self.target_strings == self.assistant_strings
            and self.shared_ends == 1
            and self.assistant_per_target == 1
        )

    @property
    def costs(self) -> Range | None:
        """The cost of a draft step in forward passes of the target: lower and upper bound.

        A pass takes as long as reading the weights from memory or as launching the work of all
        layers, whichever is longer. So the cost lies between the ratio of the bytes that are read
        and the ratio of the layers. `None` if a size is unknown.
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
        """The acceptance rate above which drafting pays, for the lower and the higher cost."""
        if self.costs is None:
            return None
        return Range(*(break_even(1 / self.assistant_per_target, cost) for cost in self.costs))

    def expected(self, cost: float) -> list[Expectation]:
        """The speed-up to expect at several acceptance rates, for a cost such as `costs.low`."""
        rate = 1 / self.assistant_per_target
        return [
            Expectation(acceptance, *best_lookahead(acceptance, rate, cost))
            for acceptance in ACCEPTANCES
        ]

    @property
    def score(self) -> float:
        """An estimated speed-up, by which assistants are ranked.

        It assumes the higher cost (a tenth of a pass if sizes are unknown), and that every
        assistant drafts each byte equally well: how well one really drafts depends on its training,
        and only a run can show it. Samples that its vocabulary cannot spell count as no speed-up.
        """
        acceptance = FOUR_BYTES ** (self.bytes_per_token.assistant / 4)
        cost = self.costs.high if self.costs else ASSUMED_COST
        times = best_lookahead(acceptance, 1 / self.assistant_per_target, cost)[1]
        return 1 + (times - 1) * mean(one.spelled.assistant for one in self.samples)

    @property
    def obstacles(self) -> list[str]:
        """Why the two cannot work together; empty if they can."""
        return self.advice.obstacles

    @property
    def cautions(self) -> list[str]:
        """What works, but not as well as it could, or not as one may expect."""
        return self.advice.cautions

    @property
    def verdict(self) -> str:
        """A summary in a few words."""
        return self.advice.verdict

    def as_dict(self) -> dict[str, Any]:
        """The whole comparison as a dict of JSON values."""
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
