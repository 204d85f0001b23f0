"""Attention masks for keys in buffers, where slots beyond a text are not to be seen."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicSlidingWindowLayer

from uag.models.caches.tree import Branches
from uag.models.properties import text_config

FULL, SLIDING = "full_attention", "sliding_attention"


def windows_of(model: PreTrainedModel) -> list[int | None]:
    """For each layer its sliding window in ids; `None` for full attention.

    >>> windows_of(target)
    [None, None]
    """
    return [
        layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None
        for layer in DynamicCache(config=text_config(model)).layers
    ]


@dataclass(frozen=True, slots=True)
class Masks:
    """What each id attends to: itself and the ids before it in the window.

    >>> masks = Masks([None], additive=None)
    >>> masks(torch.tensor([[1, 2]]), keys=4).int().tolist()
    [[[[1, 1, 0, 0], [1, 1, 1, 0]]]]

    Attributes:
        windows: of each layer (see `windows_of`).
        additive: the type of masks that are added to scores; `None` for masks of booleans.
    """

    windows: list[int | None]
    additive: torch.dtype | None

    def __call__(self, positions: Tensor, keys: int) -> Tensor | dict[str, Tensor]:
        """`[rows, width]` -> `[rows, 1, width, keys]`; by kind of layer, if there are two kinds."""
        slots = torch.arange(keys, device=positions.device)
        own = positions[:, None, :, None]
        before = slots <= own
        return self.by_kind(
            lambda window: self._shaped(
                before if window is None else before & (slots > own - window)
            )
        )

    def of_tree(
        self, branches: Branches, slots: Callable[[int | None], Tensor]
    ) -> Tensor | dict[str, Tensor]:
        """The same for one row, whose ids are a tree: `[1, 1, width, slots]`.

        `slots`: those that a layer with a window has states of.

        >>> branches = Branches(begin=1, table=torch.tensor([[0, 0], [1, 0], [0, 1]]))
        >>> Masks([None], None).of_tree(branches, lambda _: torch.arange(3)).int().tolist()
        [[[[1, 1, 0], [1, 0, 1]]]]
        """
        return self.by_kind(
            lambda window: self._shaped(branches.seen(slots(window), window)[None, None])
        )

    def by_kind(self, of: Callable[[int | None], Tensor]) -> Tensor | dict[str, Tensor]:
        """The mask of each kind of layer, `of` its window."""
        kinds = {FULL if window is None else SLIDING: window for window in self.windows}
        masks = {kind: of(window) for kind, window in kinds.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _shaped(self, seen: Tensor) -> Tensor:
        if self.additive is None:
            return seen
        zeros = torch.zeros(seen.shape, dtype=self.additive, device=seen.device)
        return zeros.masked_fill(~seen, torch.finfo(self.additive).min)
