"""How a prompt with images is read: each kind of it that was never seen is tried.

The truth is what `generate` computes after the same prompt, one id in each pass.
"""

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from uag.models.cached_lm import CachedLM, id_list
from uag.models.caches.as_generate import GenerateCache
from uag.models.caches.prefilled import PrefilledCache
from uag.models.caches.protocol import AS_GENERATE, PROMPT_ALONE, ModelCache, Way
from uag.models.check.comparison import Comparison
from uag.models.check.trial import tries_of
from uag.models.check.way import way_of
from uag.models.prefill import Prefill, placeholders
from uag.models.reading import reading_of

_AS_GENERATE = replace(
    AS_GENERATE,
    reason="gives other logits after an image in one pass over several ids than in one pass for "
    "each",
)
_ways: WeakKeyDictionary[PreTrainedModel, dict[frozenset[str], Way]] = WeakKeyDictionary()


def way_with(model: PreTrainedModel, prefill: Prefill) -> Way:
    """How a model can be read after a prompt with images; tried once for each kind of prompt.

    Raises:
        PromptError: for a prompt that the model cannot read.
    """
    known = _ways.setdefault(model, {})
    if prefill.kind not in known:
        known[prefill.kind] = _tried(model, prefill)
    return known[prefill.kind]


def prefilled_cache(model: PreTrainedModel, prefill: Prefill) -> ModelCache:
    """An empty cache of a model for a prompt with images."""
    if (way := way_with(model, prefill)).as_generate:
        return GenerateCache(model, prefill, way)
    return PrefilledCache(model, prefill)


def _tried(model: PreTrainedModel, prefill: Prefill) -> Way:
    way, regimes = way_of(model), reading_of(model).regimes
    if not way.together or way.whole or regimes.rereads or regimes.drift is not None:
        return replace(AS_GENERATE, reason=way.reason or "reads long texts with images otherwise")
    tries = range(tries_of(model))
    return PROMPT_ALONE if any(_reads(model, prefill, at) for at in tries) else _AS_GENERATE


@torch.no_grad()
def _reads(model: PreTrainedModel, prefill: Prefill, number: int) -> bool:
    """Whether passes over several ids after the prompt give what `generate` gives."""
    marks = placeholders(model)
    prompt = id_list(prefill.ids[0])
    words = [id for id in prompt if id not in marks] or [0]
    right, wrong, rest = (_cycle(words, number + start) for start in (0, 1, 2))
    text = torch.tensor([*prompt, *right, *rest], device=prefill.ids.device)
    true = GenerateCache(model, prefill).forward(text, len(right) + len(rest) + 1)
    try:
        lm = CachedLM(model, cache=PrefilledCache(model, prefill))
        lm.append(prompt)
        lm.append([*right, *wrong])
        rows = [lm.logits(len(right) + len(wrong) + 1)[: len(right) + 1].clone()]
        lm.apply(len(prompt) + len(right), rest)
        rows.append(lm.logits(len(rest)))
    except Exception:  # noqa: BLE001 - a model's code may raise anything
        return False
    return Comparison(model.dtype).logits(torch.cat(rows), true)


def _cycle(words: Sequence[int], start: int, count: int = 3) -> list[int]:
    """Some of the words, from one of them on."""
    return [words[(start + 2 * at) % len(words)] for at in range(count)]
