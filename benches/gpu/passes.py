"""What does a pass cost by model, engine and width, and what share of the bandwidth is used?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
from transformers import PreTrainedModel

from benches.gpu.card import copy_bandwidth
from benches.gpu.clocks import device_ms, wall_ms
from benches.gpu.engines import (
    ENGINES,
    SkippedError,
    chooser,
    decoder,
    reader,
    without_cudnn,
)
from benches.gpu.models import Setting, state_bytes, weight_bytes
from benches.gpu.record import Record, Values
from uag.models.cached_lm import CachedLM
from uag.sampling.greedy import most_likely_draft

STEPS = 8


def measure(record: Record, setting: Setting) -> None:
    """The part "passes": assistants first, then targets by worth."""
    speed = copy_bandwidth(setting)
    record("bandwidth", copy_gb_s=speed / 1e9)
    makers: dict[str, tuple[str, Callable[[], PreTrainedModel]]] = {}
    for name in setting.scale.assistants:
        makers[name] = "assistant", lambda name=name: setting.wide("assistant", name)
    makers["Llama-3.1-8B, random"] = "target", setting.random
    for name in setting.scale.targets:
        makers[name] = "target", lambda name=name: setting.wide("target", name)
    for name, (role, make) in makers.items():
        begun = perf_counter()
        model = make()
        parameters = sum(each.numel() for each in model.parameters())
        record(f"{name}: built", parameters=parameters, seconds=perf_counter() - begun)
        for engine in ENGINES:
            if engine == "compile":
                continue  # seconds a width: a part of its own
            known = Known(name, role, model, engine, speed)
            record.attempt(f"{name}: {engine}", partial(of_engine, record, setting, known))
        with without_cudnn():
            known = Known(f"{name}, cuDNN off", role, model, "graphs", speed)
            record.attempt(f"{known.name}: graphs", partial(of_engine, record, setting, known))
        del model, known
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class Known:
    """A model, by its name and role, an engine for it, and the bandwidth in bytes a second."""

    name: str
    role: str
    model: PreTrainedModel
    engine: str
    speed: float


def of_engine(record: Record, setting: Setting, known: Known) -> Values:
    """Passes of each width after each context, and a draft's step, by one engine."""
    try:
        made = decoder(known.engine, known.model, setting.tokenizer(known.role))
    except SkippedError as error:
        return {"skipped": str(error)}
    scale = setting.scale
    label = f"{known.name}: {known.engine}"
    for context in scale.contexts:
        if context + max(scale.widths) > known.model.config.max_position_embeddings:
            continue  # beyond the last position
        lm = reader(made)
        lm.append([5] * context)
        chooser(lm)(1)
        table = {str(width): of_width(setting, known, lm, context, width) for width in scale.widths}
        record(f"{label}, after {context} ids", widths=table)
        record(f"{label}, draft after {context} ids", **draft(setting, lm, context))
    runner: Any = made._engine.runners["target"]
    return {"runs": str(runner), "seconds_setting_up": runner.seconds}


def of_width(setting: Setting, known: Known, lm: CachedLM, context: int, width: int) -> Values:
    """A pass over `width` ids: milliseconds, and what the bandwidth would allow of that."""
    choose = chooser(lm)

    def run() -> None:
        lm.append([7] * width)
        choose(width)
        lm.roll_back(context)

    begun = perf_counter()
    run()
    first = perf_counter() - begun
    run()
    wall = wall_ms(run, setting.device, setting.scale.repeats)
    read = weight_bytes(known.model) + context * state_bytes(known.model)
    return {
        "wall_ms": wall,
        "device_ms": device_ms(run, setting.device, setting.scale.repeats),
        "of_bandwidth": 1e3 * read / known.speed / wall,
        "first_s": first,
    }


def draft(setting: Setting, lm: CachedLM, context: int) -> Values:
    """Milliseconds a step of a draft whose ids the host sees at its end."""

    def run(steps: int) -> None:
        lm.append([7])
        lm.draft(steps, most_likely_draft())
        lm.roll_back(context)

    for steps in (1, STEPS):
        run(steps)
    one, many = (
        wall_ms(lambda steps=steps: run(steps), setting.device, setting.scale.repeats)
        for steps in (1, STEPS)
    )
    return {"one_ms": one, "eight_ms": many, "step_ms": (many - one) / (STEPS - 1)}
