"""What does one text look like on the device's timeline, and what makes the host wait?"""

import gzip
import warnings
from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benches.gpu.clocks import wait
from benches.gpu.engines import SkippedError, decoder
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS

# Calls of the driver that are counted for each round.
CALLS = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cudaGraphLaunch",
         "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaDeviceSynchronize",
         "cudaEventSynchronize", "cudaEventRecord", "cudaMalloc")  # fmt: skip


def measure(record: Record, setting: Setting) -> None:
    """The part "timeline": the largest pair, by graphs and eagerly."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    target = setting.wide("target", next(iter(setting.scale.targets)))
    assistant = setting.wide("assistant", next(iter(setting.scale.assistants)))
    for engine in ("graphs", "eager"):
        try:
            made = decoder(
                engine, target, tokenizers[0], assistant, tokenizers[1], lookahead=5, lookup=False
            )
        except SkippedError as error:
            record(engine, skipped=str(error))
            continue
        record.attempt(engine, lambda made=made, engine=engine: traced(setting, made, engine))
        record.attempt(f"{engine}: waits", lambda made=made: waits(setting, made))


def traced(setting: Setting, made: SpeculativeDecoder, engine: str) -> Values:
    """Driver calls a round, and how much of the time the device computes; the trace in a file."""
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": setting.scale.warm}
    made.generate(PROMPTS[0], **options)
    made.generate(PROMPTS[0], **options)
    cuda = setting.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as seen:
        rounds = made.generate(PROMPTS[0], **options).stats.rounds
        wait(setting.device)
    file = setting.out / f"timeline-{engine}.json"
    seen.export_chrome_trace(str(file))
    packed = gzip.compress(file.read_bytes())
    file.unlink()
    if len(packed) < 15 << 20:
        file.with_suffix(".json.gz").write_bytes(packed)
    counts = Counter(event.name for event in seen.events())
    kernels = [event for event in seen.events() if event.device_type.name == "CUDA"]
    busy = sum(event.time_range.elapsed_us() for event in kernels)
    span = (
        max(event.time_range.end for event in kernels)
        - min(event.time_range.start for event in kernels)
        if kernels
        else 0
    )
    return {
        "rounds": rounds,
        "kernels_a_round": len(kernels) / rounds,
        "device_busy": busy / span if span else None,
        **{name: counts[name] / rounds for name in CALLS if counts[name]},
        "most_time": {
            each.key[:60]: each.count
            for each in sorted(seen.key_averages(), key=lambda each: -each.self_device_time_total)[
                :12
            ]
        },
    }


def waits(setting: Setting, made: SpeculativeDecoder) -> Values:
    """Where the host waits for the device without saying so, with how often."""
    if setting.device.type != "cuda":
        return {"skipped": "only CUDA tells"}
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            rounds = made.generate(
                PROMPTS[0], do_sample=False, max_new_tokens=setting.scale.warm
            ).stats.rounds
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{'/'.join(each.filename.split('/')[-3:])}:{each.lineno}" for each in told)
    return {"rounds": rounds, "places": dict(places.most_common(20))}
