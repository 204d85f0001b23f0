"""Which numbers of the kernels are the best ones on this card? Each is changed by itself."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from benches.gpu.engines import decoder, reader
from benches.gpu.models import Setting
from benches.gpu.passes import draft, of_width
from benches.gpu.record import Record, Values
from uag.models.engines.fused import kernels, launcher

# A module, the name of one of its constants, and other values of it.
CHANGES: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (launcher, "HOPPER", ((99, 0),)),  # no kernel begins early
    (kernels, "WIDEST", (2, 8)),
    (kernels, "MANY", (1, 1 << 30)),
)
# What else a line of the kernels' source may say.
LINES = (
    ("const int AT_ONCE = 8;", "const int AT_ONCE = 4;"),
    ("void let_others_begin() { asm volatile(\"griddepcontrol.launch_dependents;\"); }",
     "void let_others_begin() {}"),
)  # fmt: skip


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
    for line, other in LINES:
        assert any(line in own(name) for name in (launcher.SMALL, launcher.PRODUCTS)), line

        def source(file: str, line: str = line, other: str = other) -> str:
            return own(file).replace(line, other)

        launcher.compiled.cache_clear()
        with changed(launcher, "source_of", source):
            record.attempt(other, lambda: of_models(setting, models))
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
    """Milliseconds of the target's passes, by width, and of a step of a draft."""
    found: Values = {}
    for model, role in zip(models, ("target", "assistant"), strict=True):
        lm = reader(decoder("graphs", model, setting.tokenizer(role)))
        lm.append([5] * setting.scale.context)
        lm.logits(1)
        if role == "assistant":
            found |= draft(setting, lm)
            continue
        for width in setting.scale.widths:
            passed = of_width(setting, lm, width, setting.scale.repeats, 1)
            found[f"{width} ids"] = passed["wall_ms"]
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
    return found
