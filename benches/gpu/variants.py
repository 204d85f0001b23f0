"""Which numbers of the kernels are the best ones on this card?"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from benches.gpu.clocks import device_ms
from benches.gpu.engines import decoder, reader
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from uag.models.cached_lm import CachedLM
from uag.models.engines.fused import kernels, launcher
from uag.models.engines.fused.kernels import Kernels
from uag.sampling.greedy import most_likely_draft

# A file of kernels, a part of it, and what that is instead.
Line = tuple[str, str, str]
# A module or class, the name of what is constant in it, and another value of that.
Constant = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Variant:
    """Kernels with other numbers."""

    name: str
    lines: tuple[Line, ...] = ()
    constants: tuple[Constant, ...] = ()


AHEAD: Line = (launcher.TILES, "int AHEAD = 2;", "int AHEAD = 1;")
# A block reads the vectors for twice as many rows.
LARGE: Line = (launcher.TILES, "TILES = 2;", "TILES = 4;")
LARGE_BLOCKS: Constant = (kernels, "TILED", {8: (32, 512), 16: (32, 256)})
# By worth.
VARIANTS = (
    Variant("as it is"),
    Variant("blocks of 32 rows", (LARGE,), (LARGE_BLOCKS,)),
    Variant("blocks of 32 rows, one pack ahead", (LARGE, AHEAD), (LARGE_BLOCKS,)),
    Variant("rotation by a kernel of its own", (), ((Kernels, "_turns", lambda *_: False),)),
    Variant("one pack ahead", (AHEAD,)),
    Variant("up to 8 ids by tensor cores", (), ((kernels, "TILED", {8: (16, 512)}),)),
    Variant("no tensor cores", (), ((kernels, "TILED", {1: (0, 0)}),)),
    Variant("nothing is normalized in a product", (), ((kernels, "MOST_NORMED", 0),)),
    Variant("4 packs at once", ((launcher.PRODUCTS, "int AT_ONCE = 2;", "int AT_ONCE = 4;"),)),
    Variant("2 packs a thread", (), ((kernels, "LEAST_PACKS", 2),)),
    Variant("6 packs a thread", (), ((kernels, "LEAST_PACKS", 6),)),
    Variant("16 queries a block", (), ((kernels, "FEW_QUERIES", 0),)),
    Variant(
        "no weights asked for early",
        (
            (launcher.PRODUCTS, "rows.begin();", "wait_for_others(); rows.begin();"),
            (launcher.TILES, "tiles.begin();", "wait_for_others(); tiles.begin();"),
        ),
    ),
    Variant("no kernel begins early", (), ((launcher, "HOPPER", (99, 0)),)),
)
# Ids of the target's passes.
WIDTHS = (1, 2, 4, 8, 16)


def measure(record: Record, setting: Setting) -> None:
    """The part "variants": each target, and the smallest assistant's draft."""
    models = {name: setting.wide("target", name) for name in list(setting.scale.targets)[:2]}
    assistant = next(iter(setting.scale.assistants))
    models[assistant] = setting.wide("assistant", assistant)
    for variant in VARIANTS:
        with used(variant):
            record.attempt(variant.name, lambda: of_models(setting, models))


@contextmanager
def used(variant: Variant) -> Generator[None]:
    """Inside the `with` block kernels are those of a variant."""
    own = launcher.source_of

    def source(file: str) -> str:
        text = own(file)
        for where, part, other in variant.lines:
            assert where != file or part in text, part
            text = text.replace(part, other) if where == file else text
        return text

    launcher.compiled.cache_clear()
    with ExitStack() as changes:
        for each in (*variant.constants, (launcher, "source_of", source)):
            changes.enter_context(changed(*each))
        yield
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
