"""Reads a prompt with images as `generate` does, once; then text, which can be rolled back."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from uag.models.caches.protocol import PROMPT_ALONE
from uag.models.caches.rollback import RollbackCache
from uag.models.prefill import OwnTensors, Prefill, readable, updated


class PrefilledCache(RollbackCache):
    """A `RollbackCache` whose first pass reads a prompt with all that `generate` has prepared.

    Each later pass gets what `generate` would give it after that: positions that go on from those
    of the prompt, kinds of tokens, masks. What the model's modules hold of this text is there in
    its passes only.
    """

    length: int

    def __init__(self, model: PreTrainedModel, prefill: Prefill) -> None:
        """An empty cache.

        Raises:
            UnsupportedModelError: if the model keeps a kind of state that cannot be rolled back.
        """
        self._prefill = prefill
        self._any: Any = model
        super().__init__(model, PROMPT_ALONE)

    def clear(self) -> None:
        """Remove every id."""
        super().clear()
        self._ids = self._prefill.ids[:, :0]
        self._inputs: dict[str, Any] = {}  # after the prompt
        self._own = OwnTensors(self._model, self._prefill.held)

    def roll_back(self, length: int) -> None:
        """As in `RollbackCache`; a part of the prompt is no prompt."""
        if length >= self._prefill.length:
            super().roll_back(length)
        elif self.length > length:
            self.clear()

    @torch.no_grad()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass; see `ModelCache.forward`. The first one reads exactly the prompt."""
        self._ids = torch.cat([self._ids[:, : self.length], ids[None]], dim=1)
        with self._reading.turn(self._modules, alone=True), self._own.turn():
            output = self._go_on(len(ids), positions) if self.length else self._begin()
            self._modules = self._reading.take()
        self.length += len(ids)
        self.width = len(ids)
        return output.logits[0, -positions:]

    def _begin(self) -> Any:
        inputs = self._prefill.start() | {self._reading.cache_name: self.past}
        with readable(self._model):
            output = self._any._prefill(self._ids, self._prefill.config, inputs)
        self._inputs = updated(self._model, output, inputs)
        return output

    def _go_on(self, count: int, positions: int) -> Any:
        inputs = dict(self._inputs)
        # What is kept after the prompt has a place for one id more.
        if more := self._ids.shape[1] - self._prefill.length - 1:
            inputs = updated(self._model, ModelOutput(), inputs, num_new_tokens=more)
        if "logits_to_keep" in inputs:
            inputs["logits_to_keep"] = positions
        inputs = self._any.prepare_inputs_for_generation(
            self._ids, next_sequence_length=count, **inputs
        )
        return self._any(**inputs, return_dict=True)
