"""Lengths at which a model begins to see a text otherwise.

With longrope and dynamic NTK rope, the longest position of a forward pass decides how all ids of
the pass are rotated. So a pass over several ids gives what passes over one id each would give only
if all its lengths (an id's length is its position + 1) are in the same regime:

| rope | regimes |
|---|---|
| longrope | up to its original length, and beyond it |
| dynamic NTK | up to the model's length; beyond it each length is a regime of its own |
| any other | one |

Phi-3 also reads the whole text again where it enters the second regime.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from uag.models.properties import cache_name, device_of


@dataclass(frozen=True, slots=True)
class Regimes:
    """The regimes of one model.

    Attributes:
        switches: last lengths of regimes that have another one after them.
        drift: the length beyond which each length is a regime; `None` if there is none.
        rereads: whether the whole text is read again where a switch is passed.
        loses_text: whether `generate` reads only the last id again there, with an empty cache
            (Phi-4-multimodal of transformers 5.20 to 5.24): only its own steps give its text.

    >>> regimes = Regimes(switches=(16,))
    >>> regimes.of(16), regimes.of(17), regimes.room(14), regimes.room(17)
    (0, 1, 2, None)
    >>> regimes.pieces(first=14, count=5)
    [2, 3]
    """

    switches: tuple[int, ...] = ()
    drift: int | None = None
    rereads: bool = False
    loses_text: bool = False

    def of(self, length: int) -> int:
        """The number of the regime that a length is in."""
        if self.drift is not None and length > self.drift:
            return len(self.switches) + length
        return sum(length > switch for switch in self.switches)

    def room(self, length: int) -> int | None:
        """How many ids may follow the first `length` in the regime of these; `None`: any number."""
        if self.drift is not None and length > self.drift:
            return 0
        ends = [*self.switches, *([] if self.drift is None else [self.drift])]
        return min((end - length for end in ends if end >= length), default=None)

    def pieces(self, first: int, count: int) -> list[int]:
        """Sizes of the passes that read `count` ids after the first `first`."""
        if not self:
            return [count] if count else []
        sizes: list[int] = []
        last = None
        for length in range(first + 1, first + count + 1):
            regime = self.of(length)
            if regime == last:
                sizes[-1] += 1
            else:
                sizes.append(1)
            last = regime
        return sizes

    def __bool__(self) -> bool:
        """Whether there is more than one regime."""
        return bool(self.switches) or self.drift is not None


def regimes_of(model: PreTrainedModel) -> Regimes:
    """The regimes of a model, by the kinds of rope in its modules.

    >>> regimes_of(target)
    Regimes(switches=(), drift=None, rereads=False, loses_text=False)
    """
    switches: set[int] = set()
    drifts: set[int] = set()
    for module, _, kind, settings in _ropes(model):
        if "dynamic" in kind:
            drifts.add(int(module.original_max_seq_len))
        elif kind == "longrope":
            switches.add(int(settings["original_max_position_embeddings"]))
    read_again = _drops_cache(model, max(switches)) if switches else None
    return Regimes(
        tuple(sorted(switches)),
        min(drifts, default=None),
        rereads=read_again is not None,
        loses_text=read_again == 1,
    )


class FreshRope:
    """Sets dynamic NTK rope back before a pass, as it remembers the longest text of any pass."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Find the modules to set back."""
        self._modules = [
            (module, prefix) for module, prefix, kind, _ in _ropes(model) if "dynamic" in kind
        ]

    def restore(self) -> None:
        """The state that the modules have when the model is loaded."""
        for module, prefix in self._modules:
            original = getattr(module, f"{prefix}original_inv_freq")
            now = getattr(module, f"{prefix}inv_freq")
            setattr(module, f"{prefix}inv_freq", original.to(now.device))
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


def _ropes(model: PreTrainedModel) -> Iterator[tuple[Any, str, str, Mapping[str, Any]]]:
    """The rope modules: each with the kinds of rope that it computes, and their settings.

    Before a kind stands what its attributes' names begin with, if a module has several.
    """
    for module in cast("Iterator[Any]", cast("Any", model).modules()):
        kinds: object = getattr(module, "rope_type", None)
        config: object = getattr(module, "config", None)
        settings = cast("dict[str, Any]", getattr(config, "rope_parameters", None) or {})
        if isinstance(kinds, str):
            yield module, "", kinds, settings
        elif isinstance(kinds, Mapping):
            for layer, kind in cast("Mapping[str, str]", kinds).items():
                yield module, f"{layer}_", kind, settings.get(layer) or {}


class _FilledCache:
    """Stands for a cache of `length` ids, to ask a model what it would do with one."""

    def __init__(self, length: int) -> None:
        self._length = length

    def get_seq_length(self) -> int:
        return self._length


def _drops_cache(model: PreTrainedModel, length: int) -> int | None:
    """How many ids are read with an empty cache after `length` ids; `None`: the cache is kept."""
    ids = torch.zeros((1, length + 1), dtype=torch.long, device=device_of(model))
    name = cache_name(model)
    prepare = cast("Any", model).prepare_inputs_for_generation
    try:
        inputs = prepare(
            ids, next_sequence_length=1, use_cache=True, **{name: _FilledCache(length)}
        )
    except Exception:  # noqa: BLE001 - the model's own code, given something that is no cache
        return None
    read = cast("Tensor | None", inputs.get("input_ids"))
    return None if inputs.get(name) is not None or read is None else read.shape[1]
