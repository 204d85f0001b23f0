"""What does a round look like on the device: which kernels, for how long, with which gaps?"""

import gzip
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch.profiler import ProfilerActivity, profile

from benches.gpu.clocks import wait
from benches.gpu.engines import SkippedError, chooser, decoder, reader
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS
from uag.sampling.greedy import most_likely_draft

# Calls of the driver that are counted.
CALLS = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cudaGraphLaunch",
         "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaDeviceSynchronize",
         "cudaEventSynchronize", "cudaEventRecord", "cudaMalloc")  # fmt: skip
WIDTHS = (1, 2, 8)
# Ids of the draft that is looked at, and of each draft of the round.
STEPS = 5
# Rounds before the one that is looked at.
BEFORE = 2
# Characters of a kernel's name, after what says nothing is taken out.
LONGEST = 100
NOTHING = re.compile(r"\(anonymous namespace\)::|\b(?:void |at::|native::|c10::|binary_internal::)")


def measure(record: Record, setting: Setting) -> None:
    """The part "timeline": passes, a draft and a round of the largest pair by graphs."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    target = setting.wide("target", next(iter(setting.scale.targets)))
    assistant = setting.wide("assistant", next(iter(setting.scale.assistants)))
    try:
        made = decoder(
            "graphs", target, tokenizers[0], assistant, tokenizers[1], lookahead=STEPS, lookup=False
        )
    except SkippedError as error:
        record("graphs", skipped=str(error))
        return
    runs = {f"target, {width} ids": a_pass(setting, made, width) for width in WIDTHS}
    runs[f"draft of {STEPS} ids"] = a_draft(setting, made)
    for name, run in runs.items():
        record.attempt(name, lambda name=name, run=run: kernels_of(record, setting, name, run))
    record.attempt("a round", lambda: a_round(setting, made))
    ways: dict[str, dict[str, Any]] = {
        "greedy": {"do_sample": False},
        "drawn": {"do_sample": True, "seed": 0},
        "with a penalty": {"do_sample": False, "repetition_penalty": 1.1},
    }
    for name, options in ways.items():
        record.attempt(f"waits, {name}", lambda options=options: waits(setting, made, options))


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the device did: its name, when in microseconds, and the launch that it was part of."""

    name: str
    start: float
    end: float
    launch: int


def a_pass(setting: Setting, made: SpeculativeDecoder, width: int) -> Callable[[], object]:
    """A pass of the target over so many ids, whose choices come to the host."""
    lm = reader(made)
    choose = chooser(lm)
    lm.append([5] * setting.scale.context)
    choose(1)

    def run() -> None:
        lm.append([7] * width)
        choose(width)
        lm.roll_back(setting.scale.context)

    return run


def a_draft(setting: Setting, made: SpeculativeDecoder) -> Callable[[], object]:
    """A draft of the assistant, whose ids come to the host at its end."""
    lm = reader(made, "assistant")
    lm.append([5] * setting.scale.context)
    chooser(lm)(1)

    def run() -> None:
        lm.append([7])
        lm.draft(STEPS, most_likely_draft())
        lm.roll_back(setting.scale.context)

    return run


def kernels_of(
    record: Record, setting: Setting, name: str, run: Callable[[], object]
) -> dict[str, Any]:
    """What a run launches; the kernels of its graphs by name, in a line of their own."""
    run()
    run()
    with profile(activities=activities(setting)) as seen:
        run()
        wait(setting.device)
    kernels = on_device(seen, setting)
    graphs = graphs_of(kernels)
    inside = [kernel for graph in graphs for kernel in graph]
    launches = {graph[0].launch for graph in graphs}
    if graphs:
        record(f"{name}: kernels of a graph", **by_name(inside, len(graphs)))
    return {
        "graphs": len(graphs),
        "of_a_graph": [sums(graph) for graph in graphs[-1:]],
        "beside": by_name(kernel for kernel in kernels if kernel.launch not in launches),
        "all": sums(kernels),
        "calls": calls(seen),
    }


def a_round(setting: Setting, made: SpeculativeDecoder) -> Values:
    """One round of a text that goes on: its trace is in a file."""
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": setting.scale.tokens}
    made.generate(PROMPTS[0], **options)
    pieces = made.stream(PROMPTS[0], **options)
    while pieces.stats.rounds < BEFORE:
        next(pieces)
    before = pieces.stats.rounds
    wait(setting.device)
    with profile(activities=activities(setting)) as seen:
        next(pieces, None)
        wait(setting.device)
    rounds = pieces.stats.history[before:]
    file = setting.out / "timeline.json"
    seen.export_chrome_trace(str(file))
    file.with_suffix(".json.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    kernels = on_device(seen, setting)
    return {
        "rounds": len(rounds),
        "tokens": sum(len(done.tokens) for done in rounds),
        "drafted": sum(done.drafted for done in rounds),
        "ms": [{phase: 1e3 * spent for phase, spent in done.seconds.items()} for done in rounds],
        "graphs": [sums(graph) for graph in graphs_of(kernels)],
        "all": sums(kernels),
        "calls": calls(seen),
    }


def activities(setting: Setting) -> list[ProfilerActivity]:
    cuda = setting.device.type == "cuda"
    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]


def on_device(seen: profile, setting: Setting) -> list[Kernel]:
    """What the device did, in order. In a rehearsal, what torch did on the CPU."""
    found = [
        Kernel(event.name, event.time_range.start, event.time_range.end, event.id)
        for event in cast("Any", seen.events())
        if event.device_type.name == setting.device.type.upper()
    ]
    return sorted(found, key=lambda kernel: kernel.start)


def graphs_of(kernels: Iterable[Kernel]) -> list[list[Kernel]]:
    """The kernels of each graph: those of a launch that had several."""
    launches: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        launches.setdefault(kernel.launch, []).append(kernel)
    return [launch for launch in launches.values() if len(launch) > 1]


def sums(kernels: Sequence[Kernel]) -> Values:
    """How many, microseconds of them all and between them, and from the first to the last."""
    if not kernels:
        return {"kernels": 0}
    gaps, end = 0.0, kernels[0].end
    for before, kernel in pairwise(kernels):
        end = max(end, before.end)
        gaps += max(0.0, kernel.start - end)
    last = max(kernel.end for kernel in kernels)
    return {
        "kernels": len(kernels),
        "kernel_us": sum(kernel.end - kernel.start for kernel in kernels),
        "gap_us": gaps,
        "span_us": last - kernels[0].start,
    }


def by_name(kernels: Iterable[Kernel], runs: int = 1) -> dict[str, str]:
    """How often each kernel ran in one of so many `runs`, and microseconds of that; longest first.

    >>> by_name([Kernel("void at::native::add<float>", 0, 2, 1), Kernel("copy", 3, 4, 1)])
    {'add<float>': '1 x, 2.0 us', 'copy': '1 x, 1.0 us'}
    """
    found: dict[str, list[float]] = {}
    for kernel in kernels:
        name = NOTHING.sub("", kernel.name)[:LONGEST]
        found.setdefault(name, []).append(kernel.end - kernel.start)
    longest = sorted(found.items(), key=lambda item: -sum(item[1]))
    return {name: f"{len(us) / runs:g} x, {sum(us) / runs:.1f} us" for name, us in longest}


def calls(seen: profile) -> dict[str, int]:
    """Calls of the driver, by name."""
    counts = Counter[str](event.name for event in cast("Any", seen.events()))
    return {name: counts[name] for name in CALLS if counts[name]}


def waits(setting: Setting, made: SpeculativeDecoder, options: dict[str, Any]) -> Values:
    """Where the host waits for the device without saying so, with how often."""
    if setting.device.type != "cuda":
        return {"skipped": "only CUDA tells"}
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            out = made.generate(PROMPTS[0], max_new_tokens=setting.scale.warm, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{'/'.join(each.filename.split('/')[-3:])}:{each.lineno}" for each in told)
    return {"rounds": out.stats.rounds, "places": dict(places.most_common(20))}
