"""Reads a text exactly as `model.generate` does: for models that can be read in no other way."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from uag.models.caches.protocol import AS_GENERATE, Way
from uag.models.prefill import OwnTensors, Prefill, prepare, readable, updated
from uag.models.properties import device_of
from uag.models.reading import reading_of


class GenerateCache:
    """A `ModelCache` of what `generate` itself prepares and keeps for one text.

    The first pass reads a prompt; each pass after it reads one id. What a model keeps in this way
    may be anything, so rolling back means reading all of the text again.

    >>> cache = GenerateCache(target)
    >>> cache.forward(torch.tensor([5, 6, 7]), positions=1).shape[0], cache.length
    (1, 3)
    >>> cache.roll_back(2)
    >>> cache.length
    0
    """

    def __init__(
        self, model: PreTrainedModel, prefill: Prefill | None = None, way: Way = AS_GENERATE
    ) -> None:
        """An empty cache; `prefill`: the prompt, if it is more than ids."""
        self.way = way
        self._prefill = prefill
        self._model: Any = model
        self._reading = reading_of(model)
        self._none = torch.zeros((1, 0), dtype=torch.long, device=device_of(model))
        self.width = 0
        self.clear()

    @property
    def past(self) -> object:
        """The model's cache; `None` if it has none."""
        return self.inputs.get(self._reading.cache_name)

    def clear(self) -> None:
        """Remove every id."""
        self.length = 0
        self._ids, self._state = self._none, self._reading.initial
        self.inputs: dict[str, Any] = {}
        # Of a text, the modules hold nothing, or what is known (`Reading.places`).
        self._own = self._prefill and OwnTensors(self._model, self._prefill.held)

    def roll_back(self, length: int) -> None:
        """Clear the cache if it has more than `length` ids."""
        if length < self.length:
            self.clear()

    def should_read_first(self, count: int) -> bool:
        """Return `False`: this cache makes no copies."""
        del count
        return False

    def checkpoint(self) -> None:
        """Do nothing: there are no copies."""

    @torch.no_grad()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run the forward passes that `generate` would; see `ModelCache.forward`."""
        prompt = len(ids) - positions + 1 if self._prefill is None else self._prefill.length
        first = 1 if self.length else max(1, prompt)
        own = self._own.turn() if self._own is not None else nullcontext()
        with self._reading.turn(self._state, alone=self._own is not None), own:
            logits = [self._step(piece) for piece in (ids[:first], *ids[first:, None])]
            self._state = self._reading.take()
        return torch.cat(logits)[-positions:]

    def _step(self, ids: Tensor) -> Tensor:
        """One pass; the logits of its last id, `[1, vocabulary]`."""
        self._ids = torch.cat([self._ids, ids[None]], dim=1)
        if self.length == 0:
            output = self._begin()
        else:
            inputs = self._model.prepare_inputs_for_generation(
                self._ids, next_sequence_length=1, **self.inputs
            )
            output = self._model(**inputs, return_dict=True)
        self.inputs = updated(self._model, output, self.inputs)
        self.length += len(ids)
        self.width = len(ids)
        # A copy: the logits of all of a prompt may be large, and the rest isn't needed.
        return output.logits[:, -1].clone()

    def _begin(self) -> Any:
        """Read the prompt, with what `generate` gives its own loop; the pass's output."""
        prefill = self._prefill
        if prefill is None:
            given = {"input_ids": self._ids, "attention_mask": torch.ones_like(self._ids)}
            prefill = prepare(self._model, given, neutral_options(self._model))
        self.inputs = prefill.start()
        with readable(self._model):
            return self._model._prefill(self._ids, prefill.config, self.inputs)


def neutral_options(model: Any, count: int = 1) -> GenerationConfig:
    """Options for `count` new ids that nothing of the model's defaults can replace.

    These may ask for beams or a cache of fixed size, and transformers warns of those for sampling.
    """
    own = getattr(model.generation_config, "cache_implementation", None)
    return GenerationConfig(
        max_new_tokens=count,
        do_sample=False,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        num_beams=1,
        num_return_sequences=1,
        use_cache=True,
        cache_implementation=None if own is None else "dynamic",
    )
