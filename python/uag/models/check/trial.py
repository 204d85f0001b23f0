"""The check of a model that has never been seen: in which ways it can be read.

The truth is what `generate` computes when its choice is forced: the prompt in one pass, then one id
in each. The ways below are tried in turn, and the first one that gives the same is used. A text of
another length is read in the middle of each, and wrong ids are rolled back.

| way | drafts are verified |
|---|---|
| prompt and candidates together | yes |
| the prompt by itself, then candidates together | yes |
| the whole text in each pass | yes |
| the prompt by itself, then one id a pass | no |
| as `generate` does | no |

Logits are compared by how they vary along the text, so that constants in them hide nothing; the
states of all layers are compared as well, since logits may hardly depend on these.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    Cache,
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
)

from uag.errors import UnsupportedModelError
from uag.models.cached_lm import CachedLM
from uag.models.caches.as_generate import GenerateCache, neutral_options
from uag.models.caches.protocol import (
    AS_GENERATE,
    ONE_BY_ONE,
    PROMPT_ALONE,
    TOGETHER,
    WHOLE,
    ModelCache,
    Way,
)
from uag.models.caches.rollback import RollbackCache
from uag.models.caches.whole_text import WholeTextCache
from uag.models.check.comparison import HALF, Comparison
from uag.models.check.records import is_of_transformers
from uag.models.properties import (
    device_of,
    embedding_rows,
    position_limit,
    text_config,
)
from uag.models.reading import ModuleWatch, reading_of

# Ids of the trial's prompt, right candidates after it, and ids after these.
PROMPT, CANDIDATES, REST = 9, 2, 2
# Wrong candidates after the right ones, which are rolled back.
WRONG = 2
# A length up to this that the configuration names is crossed by the candidates.
LONGEST = 64
NAMES_LENGTH = "window|chunk|max_position|max_target|n_positions|n_ctx|local_attention"
# Keys of one layer: `[rows, heads, positions, head size]`.
KEYS_DIM = 4
# In half precision a mixture of experts may choose other experts: other texts are tried.
TRIES = 3


def tries_of(model: PreTrainedModel) -> int:
    """How many texts are tried at most."""
    return TRIES if model.dtype in HALF else 1


def make_cache(model: PreTrainedModel, way: Way) -> ModelCache:
    """An empty cache of a model, for a way of reading it."""
    if way.as_generate:
        return GenerateCache(model)
    return WholeTextCache(model) if way.whole else RollbackCache(model, way)


class _Forces(LogitsProcessor):
    """Has `generate` choose given ids, one after the other, and then any."""

    def __init__(self, start: int, ids: list[int]) -> None:
        self._start, self._ids = start, ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self._start
        if step == len(self._ids):
            return torch.nan_to_num(scores)
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self._ids[step]] = 0
        return forced


class Trial:
    """The trial of one model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._name = type(model).__name__
        self._reading = reading_of(model)
        self._watch = ModuleWatch(model)
        self._same = Comparison(model.dtype)
        self._tries = tries_of(model)
        self._prompt = _prompt_length(model)
        self._truths: dict[int, tuple[Tensor, Any]] = {}

    @torch.no_grad()
    def way(self) -> Way:
        """The first way that gives the truth; the model's modules hold what they held before."""
        try:
            return self._first_way()
        finally:
            self._watch.restore()

    def _first_way(self) -> Way:
        self._prepare()
        if not (reason := self._fault(TOGETHER)):
            return TOGETHER
        for way in (PROMPT_ALONE, WHOLE):
            if not self._fault(way):
                return way
        if not self._fault(ONE_BY_ONE):
            return replace(ONE_BY_ONE, reason=reason)
        if fault := self._fault(AS_GENERATE):
            raise UnsupportedModelError(
                f"{self._name} {fault} in every way that a decoder can read it: it may keep "
                "something of a text where another text changes it, or its generate adds "
                "something to a text; use model.generate"
            )
        return replace(AS_GENERATE, reason=reason)

    def _prepare(self) -> None:
        """Find out what `generate` gives, and where the modules keep a state of the text."""
        # Some have no positions beyond a length that was to be crossed.
        fault: Exception | None = None
        for prompt in (self._prompt, PROMPT):
            self._prompt = prompt
            try:
                self._truth(0)
                self._find_places()
            except Exception as error:  # noqa: BLE001 - a model's code may raise anything
                fault = error
            else:
                return
        raise UnsupportedModelError(
            f"{self._name} cannot generate from ids alone ({fault and _said(fault)}); "
            "use a decoder-only model for text"
        ) from fault

    def _fault(self, way: Way) -> str:
        """What is wrong in all tries if the model is read in this way; empty if nothing is."""
        fault = ""
        if way.together and self._reading.regimes.loses_text:
            return "reads only the last id again where its text outgrows the original length"
        for number in range(self._tries):
            try:
                fault = self._fault_of(way, number)
            except Exception as error:  # noqa: BLE001 - a model's code may raise anything
                return f"cannot be read in this way: {_said(error)}"
            if not fault:
                return ""
        return fault

    def _fault_of(self, way: Way, number: int) -> str:
        true, past = self._truth(number)
        rows, cache = self._read(way, number, disturbed=True)
        if fault := self._difference(way, (rows, cache), (true, past)):
            return fault
        if way.whole:
            return self._looks_ahead(number, past)
        if way.together and isinstance(cache, RollbackCache) and cache.recurrent:
            return self._forgets(number)
        if way.together and (length := self._jump(number)):
            return f"reads ids otherwise where a pass crosses length {length}"
        return ""

    def _difference(
        self, way: Way, read: tuple[Tensor, ModelCache], truth: tuple[Tensor, Any]
    ) -> str:
        """How logits and states that were read differ from the true ones; empty if they do not."""
        (rows, cache), (true, past) = read, truth
        if isinstance(cache, RollbackCache) and not cache.holds_text:
            return "keeps nothing of a text in the cache that it is given"
        if not self._same.logits(rows, true):
            return _UNLIKE if way.together else "gives other logits than its generate"
        if not all(self._same.state(got, want) for got, want in _common_states(cache, past)):
            return "keeps other states than its generate"
        return ""

    def _looks_ahead(self, number: int, past: Any) -> str:
        """Whether what the model makes of an id depends on how many ids follow (Reformer)."""
        if past is not None and not (isinstance(past, Cache) and past.get_seq_length() == 0):
            return "keeps a state of its own"
        text = torch.tensor(self._ids(number, LONGEST), device=device_of(self._model))
        ends = range(3, LONGEST, 7)
        whole = WholeTextCache(self._model).forward(text, LONGEST)
        alone = [WholeTextCache(self._model).forward(text[:end], 1) for end in ends]
        rows = whole[[end - 1 for end in ends]]
        return "" if self._same.logits(torch.cat(alone), rows) else _UNLIKE

    def _truth(self, number: int) -> tuple[Tensor, Any]:
        """What `generate` computes: logits after the prompt and after each id, and its cache."""
        if number not in self._truths:
            text = self._ids(number)
            found = self._generate(text[: self._prompt], text[self._prompt :])
            if found is None:  # `generate` chose otherwise: Janus drops logits processors
                rows, cache = self._read(AS_GENERATE, number, disturbed=False)
                found = rows, cast("GenerateCache", cache).past
            self._truths[number] = found
        return self._truths[number]

    def _generate(self, prompt: list[int], rest: list[int]) -> tuple[Tensor, Any] | None:
        """`generate` with its choice forced: logits `[ids of rest + 1, vocabulary]`; its cache.

        `None` if it chose others.
        """
        ids = torch.tensor([prompt], device=device_of(self._model))
        output = cast("Any", self._model).generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=neutral_options(self._model, len(rest) + 1),
            logits_processor=LogitsProcessorList([_Forces(len(prompt), rest)]),
            output_logits=True,
            return_dict_in_generate=True,
        )
        if output.sequences[0, len(prompt) : -1].tolist() != rest:
            return None
        past = getattr(output, "past_key_values", getattr(output, "cache", None))
        return torch.cat(output.logits), past

    def _read(self, way: Way, number: int, *, disturbed: bool) -> tuple[Tensor, ModelCache]:
        """Read text `number`; the logits after the prompt and after each id after it.

        `disturbed`: whether another text is read in the middle of it.
        """
        model, text = self._model, self._ids(number)
        end = self._prompt + CANDIDATES
        lm = CachedLM(model, cache=make_cache(model, way))
        lm.append(text[: self._prompt])
        if way.together:
            wrong = self._ids(number + TRIES)[:WRONG]
            lm.append([*text[self._prompt : end], *wrong])
            rows = [lm.logits(CANDIDATES + 1 + WRONG)[: CANDIDATES + 1].clone()]
        else:
            rows = [lm.logits(1).clone(), *_one_by_one(lm, text[self._prompt : end])]
        if disturbed:
            other = CachedLM(model, cache=make_cache(model, way))
            other.append(self._ids(number + 2 * TRIES)[: self._prompt - 2])
            other.logits(1)
        if way.together:
            lm.apply(end, text[end:])
            rows.append(lm.logits(REST).clone())
        else:
            rows += _one_by_one(lm, text[end:])
        return torch.cat(rows), lm.cache

    def _forgets(self, number: int) -> str:
        """Whether a pass over several ids begins from an empty state, in silence.

        The states before it are made NaN: if it reads them, its logits are NaN. So this does not
        depend on how much the weights make of a state.
        """
        text = torch.tensor(self._ids(number), device=device_of(self._model))
        for kind in ("recurrent_states", "conv_states"):
            cache = RollbackCache(self._model)
            cache.forward(text[: self._prompt], 1)
            rest = text[self._prompt :]
            if cache.spoil(kind) and not cache.forward(rest, len(rest))[0].isnan().any():
                return "begins a pass over several ids from an empty state"
        return ""

    def _jump(self, number: int) -> int | None:
        """A length that the configuration names, at which the model begins to read otherwise.

        For classes from outside transformers, which may compute positions by any rule. No text of
        that length is read: the positions alone say.
        """
        model, reading = self._model, self._reading
        own = all(is_of_transformers(module) for module in cast("Any", model).modules())
        if own or not reading.takes_positions or position_limit(model) is not None:
            return None
        device = device_of(model)
        ids = torch.tensor([self._ids(number)[:9]], device=device)
        # Where its rope is known to change, no pass crosses.
        known = {*reading.regimes.switches, reading.regimes.drift}
        for length in {each for each in named_lengths(model) - known if each > LONGEST}:
            places = torch.arange(length - 6, length + 3, device=device)[None]
            try:
                crosses = self._read_at(ids, places, [3, 6])
                cut = self._read_at(ids, places, [3, 3, 3])
            except (IndexError, RuntimeError):
                continue  # there are no positions
            if not self._same.logits(cut[3:], crosses[3:]):
                return length
        return None

    def _read_at(self, ids: Tensor, places: Tensor, sizes: list[int]) -> Tensor:
        """The logits of ids at any positions, in passes of these sizes."""
        reading, past = self._reading, DynamicCache(config=text_config(self._model))
        rows: list[Tensor] = []
        for piece, at in zip(
            torch.split(ids, sizes, 1), torch.split(places, sizes, 1), strict=True
        ):
            inputs = reading.inputs(piece, positions=at, logits=None)
            output = cast("Any", self._model)(**inputs, **{reading.cache_name: past})
            rows.append(output.logits[0])
        return torch.cat(rows)

    def _find_places(self) -> None:
        """Find where the modules keep a state of the text, if they keep anything."""
        if not self._watch.changed:
            return
        self._generate(self._ids(2 * TRIES)[: self._prompt], [])
        self._watch.mark()
        self._generate(self._ids(0)[: self._prompt], [])
        places, initial = self._watch.found()
        if places:
            self._reading.places, self._reading.initial = places, initial

    def _ids(self, number: int, length: int | None = None) -> list[int]:
        """Text `number` of the trial: ids without a meaning of their own."""
        rows = embedding_rows(self._model)
        special = set(_numbers(cast("Any", self._model).config.to_dict(), "token"))
        usual = [id for id in range(rows // 8, max(rows // 2, rows // 8 + 1)) if id not in special]
        length = length or self._prompt + CANDIDATES + REST
        # Steps by the golden ratio: no two ids of a text are the same while there are others.
        at = ((0.618034 * (place + 31 * number)) % 1 for place in range(length))
        return [usual[int(each * len(usual))] for each in at]


def _one_by_one(lm: CachedLM, ids: list[int]) -> Iterator[Tensor]:
    """The logits after each id, which is read in a pass of its own."""
    for id in ids:
        lm.append([id])
        yield lm.logits(1).clone()


_UNLIKE = "gives other logits in one pass over several ids than in one pass for each"


def _prompt_length(model: PreTrainedModel) -> int:
    """How many ids the trial's prompt has: the candidates after it cross what can be crossed."""
    lengths = [length for length in named_lengths(model) if length <= LONGEST]
    prompt = max([PROMPT, *(length - 1 for length in lengths)])
    if limit := position_limit(model):
        prompt = min(prompt, limit - CANDIDATES - WRONG - REST)
    return max(prompt, 3)


def named_lengths(model: PreTrainedModel) -> set[int]:
    """Lengths that the model's configuration names."""
    return set(_numbers(cast("Any", text_config(model)).to_dict(), NAMES_LENGTH))


def _numbers(settings: dict[str, Any], name: str) -> Iterator[int]:
    """All whole numbers above 1 whose name has the pattern, also in parts of the settings."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _numbers(cast("dict[str, Any]", value), name)
        elif type(value) is int and value > 1 and re.search(name, str(key)):
            yield value


def _common_states(cache: ModelCache, past: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """States that two caches of the same text both have, position by position."""
    if not isinstance(cache, RollbackCache) or not isinstance(past, Cache):
        return
    for one, other in zip(cache.layers, past.layers, strict=False):
        for name in ("keys", "values"):
            got, true = getattr(one, name, None), getattr(other, name, None)
            if (
                isinstance(got, Tensor)
                and isinstance(true, Tensor)
                and got.dim() == true.dim() == KEYS_DIM
            ):
                count = min(got.shape[-2], true.shape[-2])
                yield got[..., -count:, :], true[..., -count:, :]
        for name in ("conv_states", "recurrent_states"):
            states = cast("dict[int, Any]", getattr(one, name, {}))
            for index, got in states.items():
                true = getattr(other, name, {}).get(index)
                if isinstance(got, Tensor) and isinstance(true, Tensor):
                    count = min(got.shape[-1], true.shape[-1])
                    yield got[..., -count:], true[..., -count:]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
