"""What a model is made of, as it is now: looked at before each text, while the device waits."""

from operator import attrgetter
from typing import Any

from transformers import PreTrainedModel

parts_of = attrgetter("_modules")


class Modules:
    """All modules of a model.

    They are found anew only if one of them has other parts than before.

    >>> modules = Modules(target)
    >>> modules.now() == [*target.modules()]
    True
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._found: list[Any] = [model]
        self._parts: list[Any] = []

    def now(self) -> list[Any]:
        """Each once, as `model.modules()`; the model is the first one."""
        if self._all_parts() != self._parts:
            self._found = [*self._found[0].modules()]
            self._parts = self._all_parts()
        return self._found

    def _all_parts(self) -> list[Any]:
        """The parts of each module, one after the other, and `None` for those that are absent."""
        return [part for parts in map(parts_of, self._found) if parts for part in parts.values()]
