"""Which numbers of the kernels are the best ones on this card? Each is changed by itself."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from benches.gpu.clocks import device_ms
from benches.gpu.engines import decoder, reader
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from uag.models.cached_lm import CachedLM
from uag.models.engines.fused import kernels, launcher
from uag.sampling.greedy import most_likely_draft

# A module, the name of one of its constants, and other values of it.
CHANGES: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (launcher, "HOPPER", ((99, 0),)),  # no kernel begins early
    (kernels, "WIDEST", (1,)),
    (kernels, "AHEAD", (0, 64 << 20)),
)
# Parts of the kernels' source, and what they may be instead.
LINES = (
    (launcher.PRODUCTS, "int AT_ONCE = 4;", ("int AT_ONCE = 2;", "int AT_ONCE = 8;")),
    (launcher.SMALL, 'asm volatile("griddepcontrol.launch_dependents;");', ("",)),
)
# Ids of the target's passes.
WIDTHS = (1, 2, 8, 16)
# Passes that are measured together, so that the device never waits for the host.
TOGETHER = 20


def measure(record: Record, setting: Setting) -> None:
    """The part "variants": the largest target, and the smallest assistant's draft."""
    models = [
        setting.wide("target", next(iter(setting.scale.targets))),
        setting.wide("assistant", next(iter(setting.scale.assistants))),
    ]
    record.attempt("as it is", lambda: of_models(setting, models))
    for module, name, values in CHANGES:
        for value in values:
            with changed(module, name, value):
                record.attempt(f"{name} = {value}", lambda: of_models(setting, models))
    own = launcher.source_of
    for file, part, others in LINES:
        assert part in own(file), part
        for other in others:

            def source(file: str, part: str = part, other: str = other) -> str:
                return own(file).replace(part, other)

            launcher.compiled.cache_clear()
            with changed(launcher, "source_of", source):
                record.attempt(other or f"without {part}", lambda: of_models(setting, models))
    launcher.compiled.cache_clear()


@contextmanager
def changed(module: Any, name: str, value: object) -> Generator[None]:
    """Inside the `with` block a constant has another value."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def of_models(setting: Setting, models: list[PreTrainedModel]) -> Values:
    """Microseconds of passes by width: the target's, and the assistant's step of a draft."""
    found: Values = {}
    for model, role in zip(models, ("target", "assistant"), strict=True):
        lm = reader(decoder("graphs", model, setting.tokenizer(role)))
        lm.append([5] * setting.scale.context)
        lm.logits(1)
        if role == "assistant":
            lm.append([7])
            lm.draft(1, most_likely_draft())
            found["step"] = replayed(setting, lm)
            continue
        for width in WIDTHS:
            lm.append([7] * width)
            lm.logits(width)
            found[f"{width} ids"] = replayed(setting, lm)
            lm.roll_back(setting.scale.context)
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def replayed(setting: Setting, lm: CachedLM) -> float:
    """Microseconds of the pass that was captured last."""
    text = cast("Any", lm.cache)._text
    replay, _ = next(reversed(text.graphs.values()))
    begin = int(text.slots.begin)

    def run() -> None:
        text.slots.begin.fill_(begin)  # a step moves on
        text.step.zero_()
        for _ in range(TOGETHER):
            replay()

    ms = device_ms(run, setting.device, 5)
    return 1e3 / TOGETHER * ms
