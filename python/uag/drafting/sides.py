"""The draft side of a decoder, one class for each kind: model, custom drafter, lookups, nothing.

A side is made once for its decoder and keeps no state of a generation: each generation gets a
`DraftSource` of its own from it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedModel

from uag._core import Translation
from uag.drafting.custom import CustomDrafts, Drafter, check_drafter, is_model
from uag.drafting.lookup import LOOKUP, Lookup, lookup_from
from uag.drafting.lookup_drafts import LookupDrafts, LookupJudge, LookupOrModel
from uag.drafting.source import DraftSource, ModelDrafts, NoDrafts
from uag.errors import OptionError, UagWarning, UnsupportedTokenizerError
from uag.lookahead.schedules import Schedule
from uag.models.cached_lm import CachedLM, Score
from uag.models.caches.protocol import ModelCache, Way
from uag.models.engines.choice import EngineChoice
from uag.models.engines.runner import ModelRunner
from uag.models.properties import context_window, device_of, embedding_rows, end_ids, position_limit
from uag.models.suitable import check_belongs, check_model, warn_if_larger
from uag.models.wrappers import AnyModel, language_model
from uag.sampling.greedy import Choice
from uag.translation.bridge import Bridge
from uag.translation.chat_template import turn_end
from uag.translation.end_tokens import end_pairs
from uag.translation.tokenizers import AnyTokenizer
from uag.translation.within_rows import StandIn


@dataclass(frozen=True, slots=True)
class Opening:
    """What a side needs to begin the drafts of one generation.

    Attributes:
        prompt: the prompt in assistant ids.
        choice: called for each draft; returns the function that chooses its ids.
        translation: the generation in both vocabularies.
        bridge: the two tokenizers.
        new_cache: makes a KV cache for the assistant, which may hold the beginning of a prompt.
        judge: decides about lookups.
        lookup: the texts to look up in, where a side looks up; `None` for the side's own.
        scoring: see `ModelDrafts`; `None` where drafts are chains.
    """

    prompt: list[int]
    choice: Choice
    translation: Translation
    bridge: Bridge
    new_cache: Callable[[list[int]], ModelCache]
    judge: LookupJudge
    lookup: Lookup | None = None
    scoring: Callable[[], Score | None] | None = None


class DraftSide:
    """Base class of draft sides.

    Attributes:
        drafts: whether this side drafts at all.
        assistant: the model or custom drafter; `None` for lookups alone and for plain decoding.
        name: the assistant's name, for a trace; empty without an assistant.
        lookup: the texts to look up in, alone or beside an assistant; `None` without lookups.
        runner: runs the assistant model; `None` without one.
        stops_early: whether a draft may decide after each id if it continues.
        chains: why its drafts are chains, and what to do for trees; empty if they may be trees.
    """

    drafts = True
    assistant: AnyModel | Drafter | None = None
    name = ""
    lookup: Lookup | None = None
    runner: ModelRunner | None = None
    stops_early = True
    chains = ""

    def end_pairs(
        self, target_ends: list[int], tokenizer: AnyTokenizer
    ) -> Sequence[tuple[int, int]]:
        """Pairs (target id, assistant id) of ids that end a text or a turn.

        `target_ends`: those of the target, whose `tokenizer` knows the end of a turn.
        """
        del target_ends, tokenizer
        return ()

    def check(self, target: PreTrainedModel, bridge: Bridge) -> None:
        """Refuse an assistant that does not fit its tokenizer; warn if it is too large."""

    def source(self, opening: Opening) -> DraftSource:
        """The draft source of one generation."""
        raise NotImplementedError


class NoSide(DraftSide):
    """Nothing drafts: plain decoding."""

    drafts = False
    chains = "nothing drafts; give an assistant model, or leave tree out"

    def source(self, opening: Opening) -> DraftSource:
        del opening
        return NoDrafts()


class LookupSide(DraftSide):
    """Drafts are looked up in the text so far and in other texts."""

    chains = "looked-up text is a chain; give an assistant model, or leave tree out"

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = self._texts = lookup

    def source(self, opening: Opening) -> LookupDrafts:
        texts = opening.lookup or self._texts
        return LookupDrafts(
            texts.search(),
            texts.min_match,
            opening.bridge.target,
            opening.translation,
            opening.judge,
        )


class CustomSide(DraftSide):
    """A user-defined `Drafter` drafts."""

    stops_early = False  # it gives no probabilities to decide by
    chains = "a Drafter proposes a chain; give an assistant model, or leave tree out"

    def __init__(self, drafter: Drafter) -> None:
        """Raise an `UnsupportedModelError` for an object that isn't a `Drafter`."""
        check_drafter(drafter)
        self.assistant = self._drafter = drafter
        self.name = model_name(drafter)

    def source(self, opening: Opening) -> DraftSource:
        return CustomDrafts(self._drafter, opening.bridge.assistant, opening.prompt)


class ModelSide(DraftSide):
    """An assistant model drafts."""

    def __init__(self, given: AnyModel, tokenizer: AnyTokenizer, engine: EngineChoice) -> None:
        """Raise an `UnsupportedModelError` for a model that cannot draft.

        `engine`: what runs the model.
        """
        self.assistant = given
        self._model = model = language_model(given, "assistant")
        check_model(model, "assistant")
        self.name = model_name(model)
        self.runner = engine.runner(model)
        self.runner.new_cache()  # refuses what cannot be rolled back
        # On a GPU, the host would have to wait for the device after each id.
        self.stops_early = device_of(model).type == "cpu"
        self._window = position_limit(model) or context_window(model)
        self._end_ids = end_ids(model, tokenizer)
        self._turn_end = turn_end(tokenizer)

    def end_pairs(
        self, target_ends: list[int], tokenizer: AnyTokenizer
    ) -> Sequence[tuple[int, int]]:
        turns = turn_end(tokenizer), self._turn_end
        return end_pairs(target_ends, self._end_ids, *turns)

    def check(self, target: PreTrainedModel, bridge: Bridge) -> None:
        check_belongs(self._model, bridge.assistant, "assistant")
        warn_if_larger(self._model, target)

    def source(self, opening: Opening) -> DraftSource:
        core, rows = opening.bridge.assistant, embedding_rows(self._model)
        readable = StandIn(core, rows) if core.vocab_size > rows else list[int]
        prompt = readable(opening.prompt)
        lm = CachedLM(self._model, self._window, opening.new_cache(prompt))
        lm.append(prompt)
        ends = [*self._end_ids, *([] if self._turn_end is None else [self._turn_end])]
        return ModelDrafts(lm, frozenset(ends), opening.choice, readable, opening.scoring)


class LookupBeside(DraftSide):
    """An assistant with lookups beside it: each draft is from the one that promises more tokens."""

    def __init__(self, beside: DraftSide, lookup: Lookup) -> None:
        self.assistant, self.name, self.runner = beside.assistant, beside.name, beside.runner
        self.stops_early, self.chains = beside.stops_early, beside.chains
        self.lookup = lookup
        self.end_pairs, self.check = beside.end_pairs, beside.check
        self._beside, self._texts = beside, LookupSide(lookup)

    def source(self, opening: Opening) -> DraftSource:
        texts = self._texts.source(opening)
        return LookupOrModel(self._beside.source(opening), texts, opening.judge)


def draft_side(
    assistant: AnyModel | Drafter | Lookup | str | None,
    tokenizer: AnyTokenizer | None,
    lookup: Lookup | bool | None,
    schedule: Schedule,
    engine: EngineChoice,
) -> DraftSide:
    """The side that a decoder's `assistant=`, `assistant_tokenizer=` and `lookup=` stand for.

    >>> type(draft_side("lookup", None, None, Schedule("auto"), EngineChoice())).__name__
    'LookupSide'

    Args:
        assistant: see `SpeculativeDecoder`.
        tokenizer: the assistant's.
        lookup: see `SpeculativeDecoder`; `None` for the default of the `schedule`.
        schedule: the checked `lookahead=` option.
        engine: what runs an assistant model.

    Raises:
        OptionError: for two lookups, or a `lookup` that isn't one.
        UnsupportedModelError: for an assistant that cannot draft.
        UnsupportedTokenizerError: for an assistant model without a tokenizer.
    """
    if isinstance(assistant, Lookup) or (isinstance(assistant, str) and assistant == LOOKUP):
        if lookup:
            raise OptionError("both assistant and lookup are lookups; give one, with all texts")
        return LookupSide(cast("Lookup", lookup_from(assistant)))
    by_model = is_model(assistant)
    if lookup is None:
        lookup = by_model and schedule.looks_up_by_default
    texts = lookup_from(lookup)
    if assistant is None:
        return NoSide() if texts is None else LookupSide(texts)
    if not by_model:
        side: DraftSide = CustomSide(cast("Drafter", assistant))
    elif tokenizer is None:
        raise UnsupportedTokenizerError(
            "an assistant was given without assistant_tokenizer; give its own"
        )
    else:
        side = ModelSide(assistant, tokenizer, engine)
    return side if texts is None else LookupBeside(side, texts)


def switched_off(target: PreTrainedModel, way: Way) -> NoSide:
    """The side of a target that cannot verify drafts, after a warning that says why."""
    warnings.warn(
        f"{type(target).__name__} {way.reason}. So it cannot verify a draft in one pass: drafts "
        "are switched off, and the text is decoded plainly, as generate would; use it as an "
        "assistant, or without one (assistant=None)",
        UagWarning,
        stacklevel=3,
    )
    side = NoSide()
    side.chains = f"{type(target).__name__} {way.reason}; leave tree out"
    return side


def model_name(model: object) -> str:
    """The name of a model or drafter: its hub name or folder, or else its class.

    >>> model_name(object())
    'object'
    """
    return getattr(model, "name_or_path", "") or type(model).__name__
