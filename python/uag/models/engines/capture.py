"""Captures what is launched on a device, to launch it again at once: CUDA graphs.

A capture records kernels with the addresses that they read and write, and every number that Python
computed. So whatever changes from one run to the next must be in tensors that stay where they are.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast
from weakref import WeakSet

import torch
from torch import Tensor

from uag.models.caches.protocol import Copied

Run = Callable[[], None]


class Capturer(Protocol):
    """Captures runs of one model."""

    def capture(self, run: Run, restore: Run) -> Run:
        """Run twice, the second time captured; returns what replays that.

        What libraries set up at first must not be captured.

        `restore` puts back what each run changes beside its results. It is not captured.
        Results are where the captured run left them, until anything else is replayed.

        Raises:
            RuntimeError: if something of it cannot be captured, such as a wait for the device.
        """
        ...

    def copied(self, ids: Tensor) -> Copied:
        """Begin to copy ids to the host."""
        ...

    def mark(self) -> "Mark":
        """Mark the end of all that was launched so far."""
        ...


class Mark(Protocol):
    """A place in what a device does."""

    def since(self, earlier: Any) -> float:
        """Seconds of the device from an earlier mark to this one, which it has passed."""
        ...


class CudaMark:
    """See `Mark`."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event(enable_timing=True)
        self._event.record(stream)

    def since(self, earlier: "CudaMark") -> float:
        return earlier._event.elapsed_time(self._event) / 1000


class CudaCopied:
    """See `Copied`."""

    def __init__(self, ids: Tensor, stream: torch.cuda.Stream) -> None:
        self._ids: Any = ids.to("cpu", non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record(stream)

    @property
    def is_there(self) -> bool:
        return self._done.query()

    def wait(self) -> list[int]:
        self._done.synchronize()
        return self._ids.tolist()


class CudaGraphs:
    """Captures CUDA graphs that share one pool of memory: only one runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._alive: WeakSet[torch.cuda.CUDAGraph] = WeakSet()
        self._pool: Any = None

    def capture(self, run: Run, restore: Run) -> Run:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        if not self._alive:  # a pool ends with the last graph that uses it
            self._pool = cast("Any", torch.cuda).graph_pool_handle()
        with torch.cuda.stream(self._stream):
            run()
            restore()
            self._stream.synchronize()
            # As `torch.cuda.graph`, which also frees all cached memory each time. Other threads may
            # go on with what a capture must not do.
            try:
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                run()
            except BaseException:
                self._abandon(graph)
                raise
            graph.capture_end()
            restore()
        current.wait_stream(self._stream)
        self._alive.add(graph)
        return graph.replay

    def copied(self, ids: Tensor) -> Copied:
        return CudaCopied(ids, torch.cuda.current_stream(self._device))

    def mark(self) -> Mark:
        return CudaMark(torch.cuda.current_stream(self._device))

    def _abandon(self, graph: torch.cuda.CUDAGraph) -> None:
        """End a capture that has failed; that it has failed is known."""
        try:
            graph.capture_end()
        except RuntimeError:
            # It raised before it told the allocator, which would go on to use the graphs' pool,
            # and the generator, which would refuse to draw outside a capture from now on.
            with suppress(RuntimeError, AttributeError):
                cast("Any", torch)._C._cuda_endAllocateToPool(self._device.index, self._pool)
            generator: Any = torch.cuda.default_generators[self._device.index]
            generator.graphsafe_set_state(generator.clone_state())


# What captures on a type of device.
CAPTURERS: dict[str, Callable[[torch.device], Capturer]] = {"cuda": CudaGraphs}
