"""What one forward pass costs by how it is run: widths, attention, gradients' modes, compiling.

    python benches/forward.py MODEL [--dtype auto] [--widths 1,4,8,16] [--compile] [--trace]

Milliseconds behind a text of 100 ids, medians of interleaved rounds; two threads if not said.
`static` is transformers' static cache of 256 positions, `compile` torch.compile over it, `trace`
TorchScript over it.
"""

import warnings
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import StaticCache

from uag.models.cached_lm import CachedLM
from uag.models.loading import load_model

BEHIND = 100
PASSES = 8

Pass = Callable[[], object]


def buffered(model: Any, width: int) -> Pass:
    """As uag reads: buffers, transformers' own code."""
    lm = CachedLM(model)
    lm.append([5] * BEHIND)
    lm.logits(1)

    def run() -> None:
        lm.append([7] * width)
        lm.logits(width)
        lm.roll_back(BEHIND)

    return run


class Static(nn.Module):
    """A model behind a text in a static cache, as a function of the next ids."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.cache = StaticCache(config=model.config, max_cache_len=256)
        self.read(torch.full((1, BEHIND), 5))

    def read(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids, past_key_values=self.cache, use_cache=True).logits

    def forward(self, ids: Tensor, place: Tensor) -> Tensor:
        for layer in self.cache.layers:
            layer.cumulative_length = place + 0
        return self.read(ids)


def static(model: Any, width: int, how: str) -> Pass:
    """A pass over a static cache, compiled, traced or as it is."""
    mode = torch.inference_mode if how == "inference_mode" else torch.no_grad
    ids, place = torch.full((1, width), 7), torch.tensor(BEHIND)
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
    model: str,
    dtype: str = "auto",
    widths: str = "1,4,8,16",
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    compile: bool = False,
    trace: bool = False,
) -> None:
    """Time the ways in turn."""
    loaded = {
        attention: load_model(
            model, dtype=dtype, trust_remote_code=True, attn_implementation=attention
        ).requires_grad_(False)
        for attention in ("sdpa", "eager")
    }
    sdpa, eager = loaded["sdpa"], loaded["eager"]
    ways: dict[str, tuple[int, Callable[[int], Pass]]] = {
        "uag": (2, lambda width: buffered(sdpa, width)),
        "1 thread": (1, lambda width: buffered(sdpa, width)),
        "eager attention": (2, lambda width: buffered(eager, width)),
        "static, no_grad": (2, lambda width: static(sdpa, width, "no_grad")),
        "static, inference_mode": (2, lambda width: static(sdpa, width, "inference_mode")),
    }
    if trace:
        ways["trace"] = 2, lambda width: static(sdpa, width, "trace")
    if compile:
        ways["compile"] = 2, lambda width: static(sdpa, width, "compile")
    table = Table("width", *ways)
    for width in map(int, widths.split(",")):
        passes = {name: (way(width), threads) for name, (threads, way) in ways.items()}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (run, threads) in passes.items():
                torch.set_num_threads(threads)
                run()
                start = perf_counter()
                for _ in range(PASSES):
                    run()
                seconds[name].append((perf_counter() - start) / PASSES)
        table.add_row(str(width), *(f"{1e3 * median(each):.2f}" for each in seconds.values()))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
