"""Milliseconds on a device: from synchronisation to synchronisation, and by its own events.

On a CPU, where the parts are rehearsed, both are the wall clock, and a captured pass is the pass.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

Run = Callable[[], object]


def wait(device: torch.device) -> None:
    """Until the device has done everything that was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def wall_ms(run: Run, device: torch.device, repeats: int) -> float:
    """Median milliseconds of `run` on the host's clock, the device's work included."""
    times: list[float] = []
    for _ in range(repeats):
        wait(device)
        start = perf_counter()
        run()
        wait(device)
        times.append(1e3 * (perf_counter() - start))
    return median(times)


def device_ms(run: Run, device: torch.device, repeats: int) -> float:
    """Median milliseconds between two events around `run`."""
    if device.type != "cuda":
        return wall_ms(run, device, repeats)
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for begin, end in pairs:
        begin.record()
        run()
        end.record()
        end.synchronize()
    return median(begin.elapsed_time(end) for begin, end in pairs)


def host_ms(run: Run, device: torch.device, repeats: int) -> float:
    """Median milliseconds that the host needs to launch `run`; the device is idle before it."""
    times: list[float] = []
    for _ in range(repeats):
        wait(device)
        start = perf_counter()
        run()
        times.append(1e3 * (perf_counter() - start))
    wait(device)
    return median(times)


def captured(run: Run, device: torch.device) -> Run:
    """`run` as a CUDA graph: what it reads and writes must stay where it is."""
    if device.type != "cuda":
        return run
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        run()
        run()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
