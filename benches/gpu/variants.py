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

# A file of kernels, a part of it, and what that may be instead.
LINES = (
    (launcher.PRODUCTS, "int AT_ONCE = 2;", "int AT_ONCE = 4;"),
    (launcher.TILES, "int AHEAD = 2;", "int AHEAD = 1;"),
    # No weights are asked for early.
    (launcher.PRODUCTS, "rows.begin();", "wait_for_others(); rows.begin();"),
    (launcher.TILES, "tiles.begin();", "wait_for_others(); tiles.begin();"),
)
# A module, the name of one of its constants, and other values of it.
CHANGES: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (kernels, "TILED", ({8: (16, 512)}, {1: (0, 0)})),  # fewer ids by tensor cores, or none
    (kernels, "LEAST_PACKS", (2, 6)),
    (kernels, "FEW_QUERIES", (0,)),
    (launcher, "HOPPER", ((99, 0),)),  # no kernel begins early
)
# Ids of the target's passes.
WIDTHS = (1, 2, 4, 8, 16)


def measure(record: Record, setting: Setting) -> None:
    """The part "variants": each target, and the smallest assistant's draft."""
    models = {name: setting.wide("target", name) for name in list(setting.scale.targets)[:2]}
    assistant = next(iter(setting.scale.assistants))
    models[assistant] = setting.wide("assistant", assistant)
    record.attempt("as it is", lambda: of_models(setting, models))
    own = launcher.source_of
    for changed_file, part, other in LINES:
        assert part in own(changed_file), part

        def source(
            file: str, where: str = changed_file, part: str = part, other: str = other
        ) -> str:
            return own(file).replace(part, other) if file == where else own(file)

        launcher.compiled.cache_clear()
        with changed(launcher, "source_of", source):
            record.attempt(f"{changed_file}: {other}", lambda: of_models(setting, models))
    launcher.compiled.cache_clear()
    for module, name, value in ((*each, value) for *each, values in CHANGES for value in values):
        with changed(module, name, value):
            record.attempt(f"{name} = {value}", lambda: of_models(setting, models))


@contextmanager
def changed(module: Any, name: str, value: object) -> Generator[None]:
    """Inside the `with` block a constant has another value."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def of_models(setting: Setting, models: dict[str, PreTrainedModel]) -> Values:
    """Microseconds of passes by width: of each target, and of the assistant's step of a draft."""
    found: Values = {}
    for name, model in models.items():
        role = "target" if name in setting.scale.targets else "assistant"
        lm = reader(decoder("graphs", model, setting.tokenizer(role)))
        lm.append([5] * setting.scale.context)
        lm.logits(1)
        if role == "assistant":
            lm.append([7])
            lm.draft(1, most_likely_draft())
            found[f"{name}, a step"] = replayed(setting, lm)
            continue
        for width in WIDTHS:
            lm.append([7] * width)
            lm.logits(width)
            found[f"{name}, {width} ids"] = replayed(setting, lm)
            lm.roll_back(setting.scale.context)
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def replayed(setting: Setting, lm: CachedLM) -> float:
    """Microseconds of the pass that was captured last."""
    text = cast("Any", lm.cache)._text
    replay, _ = next(reversed(text.graphs.values()))
    begin, together = int(text.slots.begin), setting.scale.together

    def run() -> None:
        text.slots.begin.fill_(begin)  # a step moves on
        text.step.zero_()
        for _ in range(together):
            replay()

    ms = device_ms(run, setting.device, 5)
    return 1e3 / together * ms
