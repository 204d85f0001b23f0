"""Whether an assistant suits a target, and what to expect of it, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from transformers import PreTrainedConfig

from uag.advice import cautions, obstacles, verdict
from uag.expected import best_lookahead, break_even, speedup
from uag.samples import Sample, read_text, sample, sample_texts, strings_of
from uag.side import Side, Source, read_side

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
class Pair:
    """A target and an assistant beside each other.

    >>> pair = inspect_pair(target_tokenizer, assistant_tokenizer)
    >>> pair.target.core.family, pair.assistant.core.family
    ('byte-level BPE', 'SentencePiece-style BPE')
    >>> pair.obstacles, pair.assistant_per_target > 0
    ([], True)

    Attributes:
        target, assistant: what each is by itself.
        samples: how both spell the same texts.
        shared_strings: tokens, as byte strings, that both vocabularies have.
        target_strings, assistant_strings: how many each has.
    """

    target: Side
    assistant: Side
    samples: list[Sample]
    shared_strings: int
    target_strings: int
    assistant_strings: int

    @property
    def assistant_per_target(self) -> float:
        """Assistant tokens for each of the target's: the mean over the samples."""
        return mean(one.assistant_per_target for one in self.samples)

    @property
    def bytes_per_token(self) -> tuple[float, float]:
        """Of the target and of the assistant: the mean over the samples."""
        return (
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
    def costs(self) -> tuple[float, float] | None:
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
        return min(ratios), max(ratios)

    @property
    def break_even(self) -> tuple[float, float] | None:
        """The acceptance from which drafting pays, for the lower and the higher cost."""
        if self.costs is None:
            return None
        low, high = (break_even(1 / self.assistant_per_target, cost) for cost in self.costs)
        return low, high

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
        acceptance = FOUR_BYTES ** (self.bytes_per_token[1] / 4)
        cost = self.costs[1] if self.costs else ASSUMED_COST
        times = best_lookahead(acceptance, 1 / self.assistant_per_target, cost)[1]
        return 1 + (times - 1) * mean(one.spelled[1] for one in self.samples)

    @property
    def obstacles(self) -> list[str]:
        """Why the two can't work together; empty if they can."""
        return obstacles(self)

    @property
    def cautions(self) -> list[str]:
        """What works, but not as well as it could, or not as one may expect."""
        return cautions(self)

    @property
    def verdict(self) -> str:
        """All of it in a few words."""
        return verdict(self)

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
            "bytes_per_target_token": round(self.bytes_per_token[0], 3),
            "bytes_per_assistant_token": round(self.bytes_per_token[1], 3),
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


def inspect_pair(
    target: Source,
    assistant: Source,
    *,
    config: PreTrainedConfig | None = None,
    assistant_config: PreTrainedConfig | None = None,
    text: str | Path | None = None,
    trust_remote_code: bool = False,
) -> Pair:
    """Put two models beside each other: tokenizers and configurations, no weights.

    >>> pair = inspect_pair(target_tokenizer, assistant_tokenizer, config=target.config,
    ...                     assistant_config=assistant.config, text="Once upon a time")
    >>> pair.costs, pair.samples[0].bytes
    ((0.5, 0.7801104972375691), 16)

    Args:
        target: hub name, folder or tokenizer file of the target, or its tokenizer.
        assistant: the same of the assistant.
        config: the target's configuration, where `target` is no name; without it the size isn't
            known.
        assistant_config: the assistant's.
        text: what to spell instead of the texts that come with the package; a `Path` is read.
        trust_remote_code: whether to run Python code that comes with the models.

    Raises:
        LoadError: if a tokenizer can't be loaded.
        UnsupportedTokenizerError: for a Python-only tokenizer.
        FileError: if `text` can't be read.
    """
    texts = _texts(text)
    first, second = (
        read_side(source, own, trust_remote_code=trust_remote_code)
        for source, own in ((target, config), (assistant, assistant_config))
    )
    return _beside(first, second, texts)


def rank_assistants(
    target: Source,
    assistants: Sequence[Source],
    *,
    text: str | Path | None = None,
    trust_remote_code: bool = False,
) -> list[Pair]:
    """Put a target beside each of several assistants, the most promising first.

    They are ordered by `Pair.score`, those whose size isn't known behind the others and those that
    can't work last. Arguments and errors are those of `inspect_pair`.

    >>> pairs = rank_assistants(target_tokenizer, [assistant_tokenizer, target_tokenizer])
    >>> pairs[0].same_tokenizer
    True
    """
    texts = _texts(text)
    first = read_side(target, trust_remote_code=trust_remote_code)
    sides = [read_side(source, trust_remote_code=trust_remote_code) for source in assistants]
    return sorted((_beside(first, side, texts) for side in sides), key=_rank, reverse=True)


def _texts(text: str | Path | None) -> dict[str, str]:
    if text is None:
        return sample_texts()
    return read_text(text) if isinstance(text, Path) else {"text": text}


def _beside(target: Side, assistant: Side, texts: dict[str, str]) -> Pair:
    strings = strings_of(target.core), strings_of(assistant.core)
    return Pair(
        target,
        assistant,
        [
            sample(name, text, target.core, assistant.core, strings[1])
            for name, text in texts.items()
        ],
        shared_strings=len(strings[0] & strings[1]),
        target_strings=len(strings[0]),
        assistant_strings=len(strings[1]),
    )


def _rank(pair: Pair) -> tuple[bool, bool, float]:
    return not pair.obstacles, pair.costs is not None, pair.score


def _sample_dict(one: Sample) -> dict[str, Any]:
    return {
        "name": one.name,
        "bytes": one.bytes,
        "target_tokens": one.target_tokens,
        "assistant_tokens": one.assistant_tokens,
        "shared_ends": one.shared_ends,
        "known_tokens": one.known,
        "target_spells_it": one.spelled[0],
        "assistant_spells_it": one.spelled[1],
    }
