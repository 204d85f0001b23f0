"""How tokens are chosen: greedily, by coupled noise, or by rejection."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from transformers import PreTrainedModel

from uag.errors import OptionError
from uag.limits import check_limits
from uag.models.cached_lm import CachedLM, Score
from uag.models.properties import device_of, vocabulary_rows
from uag.sampling.alternatives import Alternatives
from uag.sampling.coupled import DraftSampling, DraftShape, Sampler, TokenNames, draft_factor
from uag.sampling.greedy import Choice, Pick, most_likely, most_likely_draft
from uag.sampling.ranking import ByNoise, Rank, by_weight
from uag.sampling.rejection import RejectionSampling, SameTokens, SharedTokens
from uag.stats import Stats
from uag.translation.bridge import Bridge
from uag.translation.protocol import Translator
from uag.values import shown

COUPLED, REJECTION = "coupled", "rejection"


@dataclass(frozen=True, slots=True)
class TextSampling:
    """How the ids of one generation are chosen.

    Attributes:
        pick: chooses the target's ids.
        choice: called for each draft; returns the function that chooses the assistant's ids.
        translator: turns a draft into candidates.
        score: finds other ids at the place of each of the assistant's.
        rank: says how likely each candidate of a tree is; `None` where drafts must be chains.
    """

    pick: Pick
    choice: Choice
    translator: Translator
    score: Score | None = None
    rank: Rank | None = None


class SamplingMethod:
    """How a decoder chooses tokens: greedily, by coupled noise, or by rejection.

    The tables of both vocabularies that sampling needs are made on first use.
    """

    def __init__(
        self,
        bridge: Bridge,
        model: PreTrainedModel,
        assistant: PreTrainedModel | None,
        sampling: str,
        draft_temperature: float | None,
    ) -> None:
        """See `SpeculativeDecoder`.

        Raises:
            OptionError: for an unknown `sampling`, or a `draft_temperature` that isn't above 0.
        """
        check_limits({"draft_temperature": draft_temperature})
        if sampling not in (COUPLED, REJECTION):
            raise OptionError(f"sampling={shown(sampling)}: it must be {COUPLED} or {REJECTION}")
        self._bridge = bridge
        self._model = model
        self._assistant = assistant
        # Without an assistant model there is no distribution to reject from.
        self.name = sampling if assistant is not None else COUPLED
        self._draft_temperature = draft_temperature

    @staticmethod
    def greedy(translation: Translator) -> TextSampling:
        """Greedy decoding: the likeliest ids."""
        score = Alternatives(DraftShape())
        return TextSampling(most_likely, most_likely_draft, translation, score, by_weight)

    def begin(
        self, key: int, shape: DraftShape, target: CachedLM, translation: Translator, stats: Stats
    ) -> TextSampling:
        """Begin to sample one generation.

        Args:
            key: the generation's sequence key, which determines all its noise.
            shape: the assistant's sampling options, before its own temperature is applied.
            target: the target, which holds the prompt.
            translation: the generation in both vocabularies, which holds the prompt.
            stats: the generation's rounds so far, from which the draft temperature follows.
        """
        if self.name == REJECTION:
            shape = shape.sharper(self._draft_temperature or 1.0)
            rejection = RejectionSampling(self._shared, key, shape, lambda: len(target.ids))
            same = SameTokens(translation, self._shared, rejection)
            return TextSampling(rejection, rejection.draft, same)
        sampler = Sampler(self.target_names, key, len(target.ids))
        if self._assistant is None:
            return TextSampling(sampler, most_likely_draft, translation)
        choice = DraftSampling(
            self._assistant_names,
            key,
            lambda: shape.sharper(self._draft_temperature or draft_factor(stats.history)),
            # The assistant's ids do not cover a character that the target has only begun.
            lambda: sampler.position(target.ids, len(target.ids)) - translation.held,
        )
        return TextSampling(sampler, choice, translation, Alternatives(shape), ByNoise(sampler))

    @cached_property
    def target_names(self) -> TokenNames:
        """The keys and lengths of the target's ids, for noise."""
        rows, device = vocabulary_rows(self._model), device_of(self._model)
        return TokenNames.of(self._bridge.target, rows, device)

    @cached_property
    def _assistant_names(self) -> TokenNames:
        assistant = cast("PreTrainedModel", self._assistant)  # never used without one
        paired = {
            assistant_id: self.target_names.name(target_id)
            for target_id, assistant_id in reversed(self._bridge.special_pairs)
            if target_id < len(self.target_names.moves)
        }
        rows = vocabulary_rows(assistant)
        return TokenNames.of(self._bridge.assistant, rows, device_of(assistant), paired)

    @cached_property
    def _shared(self) -> SharedTokens:
        assistant = cast("PreTrainedModel", self._assistant)
        return SharedTokens.of(
            self._bridge.target,
            self._bridge.assistant,
            self._bridge.special_pairs,
            device_of(assistant),
            (vocabulary_rows(self._model), vocabulary_rows(assistant)),
        )
