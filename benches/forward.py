"""What does a forward pass cost, by its width, attention, gradient mode and compiling?

    python -m benches.forward [--model M] [--dtype auto] [--widths 1,4,8,16] [--compile] [--trace]

Milliseconds after a text of 100 ids, medians of interleaved runs. `static` is transformers' static
cache of 256 positions, `compile` torch.compile over it, `trace` TorchScript over it. "1 thread" is
"uag" with one; the others have `--threads`. "torch's linear layers" is "uag" without a choice of
forms (`uag.models.linear`).
"""

import warnings
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Annotated, Any, cast
from unittest.mock import patch

import torch
import typer
from torch import Tensor, nn
from transformers import StaticCache

from benches.common import (
    Dtype,
    JsonFile,
    Model,
    Results,
    Runs,
    Threads,
    Trust,
    begin,
    demo_folder,
    split,
)
from benches.gpu.clocks import wait
from uag.models.cached_lm import CachedLM
from uag.models.linear import passes as linear_passes

CONTEXT = 100
PASSES = 8
# Passes after which the forms of linear layers are known.
SETTLES = 40

Pass = Callable[[], object]


def buffered(model: Any, width: int) -> Pass:
    """As in uag: buffers, transformers' own code."""
    lm = CachedLM(model)
    lm.append([5] * CONTEXT)
    lm.logits(1)

    def run() -> None:
        lm.append([7] * width)
        lm.logits(width)
        lm.roll_back(CONTEXT)

    return run


def settled(model: Any, width: int) -> Pass:
    """As in uag, once the forms of linear layers are known."""
    run = buffered(model, width)
    for _ in range(SETTLES):
        run()
    return run


def unchosen(model: Any, width: int) -> Pass:
    """As in uag, with torch's own linear layers."""
    run = buffered(model, width)

    def own() -> None:
        with patch.object(linear_passes, "WIDTHS", range(0)):
            run()

    return own


class Static(nn.Module):
    """A model after a text in a static cache, as a function of the next ids."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.cache = StaticCache(config=model.config, max_cache_len=256)
        self.read(torch.full((1, CONTEXT), 5, device=model.device))

    def read(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids, past_key_values=self.cache, use_cache=True).logits

    def forward(self, ids: Tensor, place: Tensor) -> Tensor:
        for layer in self.cache.layers:
            layer.cumulative_length = place + 0
        return self.read(ids)


def static(model: Any, width: int, how: str) -> Pass:
    """A pass over a static cache, compiled, traced or unchanged."""
    mode = torch.inference_mode if how == "inference_mode" else torch.no_grad
    ids = torch.full((1, width), 7, device=model.device)
    place = torch.tensor(CONTEXT, device=model.device)
    with mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Static(model).eval()
        run: Callable[..., object] = module
        start = perf_counter()
        if how == "trace":
            jit = cast("Any", torch.jit)
            run = jit.freeze(jit.trace(module, (ids, place), check_trace=False))
        elif how == "compile":
            run = cast("Any", torch).compile(module, dynamic=False, fullgraph=True)
        run(ids, place)
        run(ids, place)
        typer.echo(f"{how}, width {width}: {perf_counter() - start:.1f} s to begin", err=True)
    return mode()(lambda: run(ids, place))


def main(
    model: Model = None,
    dtype: Dtype = "auto",
    widths: Annotated[str, typer.Option(help="Ids of a pass.")] = "1,4,8,16",
    runs: Runs = 7,
    threads: Threads = 2,
    compile: Annotated[bool, typer.Option(help="Also with torch.compile.")] = False,
    trace: Annotated[bool, typer.Option(help="Also with TorchScript.")] = False,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time a pass, run by several methods in turn."""
    from uag.models.loading.by_name import load_model

    begin(threads)
    sdpa, eager = (
        load_model(
            model or demo_folder("target"),
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            attn_implementation=attention,
        ).requires_grad_(False)
        for attention in ("sdpa", "eager")
    )
    methods: dict[str, tuple[int, Callable[[int], Pass]]] = {
        "uag": (threads, lambda width: settled(sdpa, width)),
        "torch's linear layers": (threads, lambda width: unchosen(sdpa, width)),
        "1 thread": (1, lambda width: settled(sdpa, width)),
        "eager attention": (threads, lambda width: settled(eager, width)),
        "static, no_grad": (threads, lambda width: static(sdpa, width, "no_grad")),
        "static, inference_mode": (threads, lambda width: static(sdpa, width, "inference_mode")),
    }
    if trace:
        methods["trace"] = threads, lambda width: static(sdpa, width, "trace")
    if compile:
        methods["compile"] = threads, lambda width: static(sdpa, width, "compile")
    results = Results("width", *methods)
    for width in map(int, split(widths)):
        passes: dict[str, tuple[Pass, int]] = {}
        for name, (count, prepare) in methods.items():
            torch.set_num_threads(count)
            passes[name] = prepare(width), count
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(runs):
            for name, (run, count) in passes.items():
                torch.set_num_threads(count)
                run()
                wait(sdpa.device)
                start = perf_counter()
                for _ in range(PASSES):
                    run()
                wait(sdpa.device)
                seconds[name].append((perf_counter() - start) / PASSES)
        results.add(str(width), *(f"{1e3 * median(each):.2f}" for each in seconds.values()))
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
