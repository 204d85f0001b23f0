"""Kernels that wait: for the next one, which may do their work, or for someone to read them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Kind = Literal["sum", "norm", "product", "rotation", "storing", "choice"]


@dataclass(frozen=True, slots=True, eq=False)
class Postponed:
    """A kernel that was not launched yet.

    Attributes:
        out: what it will write.
        launch: launches it by itself.
        kind: what it does.
        given: what it is given, for one that does its work.
    """

    out: Tensor
    launch: Callable[[], None]
    kind: Kind | None = None
    given: tuple[Any, ...] = ()


class Waiting:
    """At most one kernel that waits for the next one, and any number that wait to be read."""

    def __init__(self) -> None:
        self._next: Postponed | None = None
        self._unread: list[Postponed] = []

    def postpone(self, kernel: Postponed) -> None:
        """Have a kernel wait for the next one, after the one that waits now."""
        self.flush()
        self._next = kernel

    def take(self, kind: Kind, *outs: Tensor) -> tuple[Any, ...] | None:
        """What a kernel of a kind is given that was to write one of these; it is never launched.

        If another one waits, that is launched.
        """
        waiting = self._next
        if waiting is None or waiting.kind != kind or all(waiting.out is not out for out in outs):
            self.flush()
            return None
        self._next = None
        return waiting.given

    def flush(self) -> None:
        """Launch what waits for the next kernel."""
        waiting, self._next = self._next, None
        if waiting is not None:
            waiting.launch()

    def until_read(self, kernel: Postponed) -> None:
        """Have a kernel wait until someone reads what it will write."""
        self._unread.append(kernel)

    def show(self, *tensors: Tensor) -> None:
        """Launch what writes these, if it waits for someone to read them."""
        for kernel in [*self._unread]:
            if any(kernel.out is read for read in tensors):
                self._unread.remove(kernel)
                kernel.launch()

    def forget(self) -> None:
        """Never launch what waits."""
        self._next = None
        self._unread.clear()
