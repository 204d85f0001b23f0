"""What does a pass cost by model, engine and width, and what share of the bandwidth is used?"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from transformers import PreTrainedModel

from benches.gpu.card import copy_bandwidth
from benches.gpu.clocks import device_ms, wall_ms
from benches.gpu.engines import SkippedError, chooser, decoder, reader, without_cudnn
from benches.gpu.models import Setting, state_bytes, weight_bytes
from benches.gpu.record import Record, Values
from uag.models.cached_lm import CachedLM
from uag.sampling.greedy import most_likely_draft

STEPS = 8
RANDOM = "Llama-3.1-8B, random"
# What the host launches is slow and the same for all widths.
EAGER_REPEATS = 3


def measure(record: Record, setting: Setting) -> None:
    """The part "passes": models by worth."""
    speed = copy_bandwidth(setting)
    record("bandwidth", copy_gb_s=speed / 1e9)
    made: dict[str, tuple[str, Callable[[], PreTrainedModel]]] = {
        name: (role, lambda role=role, name=name: setting.wide(role, name))
        for role, names in (
            ("target", setting.scale.targets),
            ("assistant", setting.scale.assistants),
        )
        for name in names
    }
    made[RANDOM] = "target", setting.random
    for name in sorted(made, key=worth):
        role, make = made[name]
        record.attempt(
            name,
            lambda name=name, role=role, make=make: of_model(
                record, setting, Known(name, role, make, speed)
            ),
        )
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()


def worth(name: str) -> int:
    """The place of a model: that of no criterion comes last."""
    order = ("8B", "70M", "3B", "500M", RANDOM)
    return order.index(name) if name in order else len(order)


@dataclass(frozen=True)
class Known:
    """A model, by its name, its role and what makes it, and the bandwidth in bytes a second."""

    name: str
    role: str
    make: Callable[[], PreTrainedModel]
    speed: float


def of_model(record: Record, setting: Setting, known: Known) -> Values:
    """All of one model."""
    begun = perf_counter()
    model, scale = known.make(), setting.scale
    record(
        f"{known.name}: built",
        parameters=sum(each.numel() for each in model.parameters()),
        bytes=weight_bytes(model) + scale.context * state_bytes(model),
        seconds=perf_counter() - begun,
    )
    cases = [("graphs", scale.context), ("eager", scale.context)]
    if known.name == RANDOM:
        cases += [("graphs", scale.long), ("graphs, cuDNN off", scale.context)]
    for engine, context in cases:
        record.attempt(
            f"{known.name}: {engine}, after {context} ids",
            lambda engine=engine, context=context: of_engine(
                setting, known, model, engine, context
            ),
        )
    return {"seconds": perf_counter() - begun}


def of_engine(
    setting: Setting, known: Known, model: PreTrainedModel, engine: str, context: int
) -> Values:
    """Passes of each width after so many ids; of an assistant also a draft's step."""
    if engine.endswith("cuDNN off"):
        with without_cudnn():
            return of_engine(setting, known, model, "graphs", context)
    try:
        made = decoder(engine, model, setting.tokenizer(known.role))
    except SkippedError as error:
        return {"skipped": str(error)}
    lm = reader(made)
    lm.append([5] * context)
    chooser(lm)(1)
    eager = engine == "eager"
    widths, repeats = setting.scale.widths, setting.scale.repeats
    if eager:
        widths = tuple(width for width in widths if width in {1, 8})
        repeats = min(EAGER_REPEATS, repeats)
    read = weight_bytes(model) + context * state_bytes(model)
    limit = 1e3 * read / known.speed
    table = {str(width): of_width(setting, lm, width, repeats, limit) for width in widths}
    drafts = {} if eager or known.role == "target" else draft(setting, lm)
    runner: Any = made._engine.runners["target"]
    return {"widths": table, **drafts, "runs": str(runner), "seconds_setting_up": runner.seconds}


def of_width(setting: Setting, lm: CachedLM, width: int, repeats: int, limit: float) -> Values:
    """A pass over `width` ids: milliseconds, and which share the bandwidth's `limit` is of them."""
    choose, context = chooser(lm), len(lm.ids)

    def run() -> None:
        lm.append([7] * width)
        choose(width)
        lm.roll_back(context)

    begun = perf_counter()
    run()
    first = perf_counter() - begun
    run()
    wall = wall_ms(run, setting.device, repeats)
    found = {"wall_ms": wall, "of_bandwidth": limit / wall, "first_s": first}
    if repeats > EAGER_REPEATS:
        found["device_ms"] = device_ms(run, setting.device, EAGER_REPEATS)
    return found


def draft(setting: Setting, lm: CachedLM) -> Values:
    """Milliseconds a step of a draft whose ids the host sees at its end."""
    context = len(lm.ids)

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
