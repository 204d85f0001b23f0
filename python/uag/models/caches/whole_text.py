"""For a model that has no KV cache: each pass reads the whole text."""

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.models.caches.protocol import WHOLE, PreallocatedCache
from uag.models.properties import device_of
from uag.models.reading import reading_of


class WholeTextCache(PreallocatedCache):
    """A `ModelCache` for a model that keeps nothing of a text: each pass reads all of it again."""

    way = WHOLE

    def __init__(self, model: PreTrainedModel) -> None:
        """An empty cache."""
        super().__init__()
        self._model = model
        self._reading = reading_of(model)
        self._ids = torch.zeros(0, dtype=torch.long, device=device_of(model))

    @torch.no_grad()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        """Run a forward pass; see `ModelCache.forward`."""
        self._ids = torch.cat([self._ids[: self.length], ids])
        self.length = self.width = len(self._ids)
        places = torch.arange(self.length, device=ids.device)
        inputs = self._reading.inputs(self._ids[None], positions=places[None], logits=positions)
        return cast("Any", self._model)(**inputs).logits[0, -positions:]
