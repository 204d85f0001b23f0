"""Stands for CUDA graphs on a CPU: records operations, and replays them on the same tensors.

As in a CUDA graph, whatever Python computed is frozen, inputs are read where they were, and waiting
for the device is an error. What another graph left in the shared memory is overwritten.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from uag.clock import now
from uag.models.engines.capture import CAPTURERS

# What gives the host a number, or a tensor whose size only the device knows.
WAITS = {
    "aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero", "aten::equal",
    "aten::masked_select", "aten::unique", "aten::_unique2", "aten::unique_consecutive",
    "aten::bincount",
}  # fmt: skip
# What makes a tensor of numbers of the host.
FROM_HOST = {"aten::lift_fresh", "aten::lift_fresh_copy"}


class CaptureError(RuntimeError):
    """What a CUDA graph cannot hold."""


class Recording(TorchDispatchMode):
    """Operations with the very tensors that they read and made.

    Attributes:
        now: the one that records; kernels that torch does not know must tell it.
        calls: an operation, what it is given, and the tensors that it made.
    """

    now: "Recording | None" = None

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._kept: list[Any] = []

    def __enter__(self) -> Self:
        Recording.now = super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        Recording.now = None
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        by_mask = name in {"aten::index", "aten::index_put_"} and any(
            each.dtype == torch.bool for each in tree_leaves(args[1:]) if isinstance(each, Tensor)
        )
        if name in WAITS or by_mask:
            raise CaptureError(f"{name} waits for the device")
        out = func(*args, **kwargs)
        made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        if name in FROM_HOST and any(each.dim() for each in made):
            raise CaptureError(f"{name} copies from the host")
        known = {each.untyped_storage()._cdata for each in given}
        fresh = [each for each in made if each.untyped_storage()._cdata not in known]
        if fresh or func._schema.is_mutable:
            self.calls.append((func, args, kwargs, fresh))
        else:
            self._kept.append(out)  # a view
        return out

    def replay(self) -> None:
        for func, args, kwargs, fresh in self.calls:
            out = func(*args, **kwargs)
            made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
            if fresh:
                for old, new in zip(fresh, made[-len(fresh) :], strict=True):
                    old.copy_(new)

    def poison(self) -> None:
        """Overwrite all that the operations made."""
        for *_, fresh in self.calls:
            for each in fresh:
                each.fill_(torch.nan if each.is_floating_point() else 0)


@dataclass(frozen=True)
class RecordedCopy:
    """A `Copied` of a CPU: as if one waited for it."""

    ids: list[int]
    is_there = False

    def wait(self) -> list[int]:
        return self.ids


@dataclass(frozen=True)
class RecordedMark:
    """A `Mark` whose time is known at once."""

    at: float

    def since(self, earlier: "RecordedMark") -> float:
        return self.at - earlier.at


class RecordedGraphs:
    """A `Capturer` for a CPU.

    Attributes:
        captured: how many graphs there are.
        replays: how many times any was replayed.
        copies: how often ids were copied to the host while something followed.
    """

    made: "list[RecordedGraphs]" = []  # noqa: RUF012 - for tests to look at

    def __init__(self, device: torch.device) -> None:
        self.captured = self.replays = self.copies = 0
        self._last: Recording | None = None
        self.made.append(self)

    def capture(self, run: Callable[[], None], restore: Callable[[], None]) -> Callable[[], None]:
        self._overwrite(None)
        run()  # warms up
        restore()
        with Recording() as recording:
            run()
        restore()
        self.captured += 1

        def replay() -> None:
            self._overwrite(recording)
            self.replays += 1
            with torch.no_grad():  # a graph's kernels know nothing of gradients
                recording.replay()

        self._last = recording
        return replay

    def copied(self, ids: torch.Tensor) -> "RecordedCopy":
        self.copies += 1
        return RecordedCopy(ids.tolist())

    def mark(self) -> RecordedMark:
        return RecordedMark(now())

    def _overwrite(self, next_: Recording | None) -> None:
        if self._last is not None and self._last is not next_:
            self._last.poison()
        self._last = next_


def recorded_graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecordedGraphs]]:
    """For a fixture: every capturer that was made; on a CPU there are stand-ins."""
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    RecordedGraphs.made.clear()
    yield RecordedGraphs.made
    RecordedGraphs.made.clear()
