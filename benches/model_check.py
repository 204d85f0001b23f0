"""What does the check of a model take, beside loading the model?

    python -m benches.model_check [--target T] [--assistant A] [--runs 5]

Medians in milliseconds. "load" is `from_pretrained` of the model alone, with its files in memory;
"check" is what a decoder does with a model that it has never seen; "batch" what the first call with
several prompts adds; "passes" how many forward passes the check makes.
"""

from pathlib import Path
from statistics import median
from typing import Any

import typer
from transformers import PreTrainedModel

from benches.common import (
    Assistant,
    Dtype,
    JsonFile,
    Results,
    Runs,
    Target,
    Threads,
    Trust,
    begin,
    pair_names,
    timed,
)


def check_passes(model: PreTrainedModel) -> int:
    """The forward passes of a check of the model."""
    from uag.models.check.trial import Trial

    made: list[None] = []
    call = type(model).__call__

    def counting(*args: Any, **named: Any) -> Any:
        made.append(None)
        return call(*args, **named)

    # On the class: a hook would make the model one that runs more than transformers' code.
    type(model).__call__ = counting
    try:
        Trial(model).way()
    finally:
        type(model).__call__ = call
    return len(made)


def main(
    target: Target = None,
    assistant: Assistant = None,
    dtype: Dtype = "auto",
    runs: Runs = 5,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Load and check each model, by turns."""
    from uag.batching.batch_cache import rows_fault
    from uag.models.check.trial import Trial
    from uag.models.loading import load_model

    begin(threads)
    names = [name for name in pair_names(target, assistant) if name is not None]
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    passes: dict[str, int] = {}
    for _ in range(runs):
        for name in names:
            model, load = timed(load_model, name, dtype=dtype, trust_remote_code=trust_remote_code)
            _, check = timed(Trial(model).way)
            _, batch = timed(rows_fault, model)
            passes[name] = check_passes(model)
            seconds[name].append((load, check, batch))
    results = Results("model", "load", "check", "passes", "batch", "check / load")
    for name, measured in seconds.items():
        load, check, batch = (median(each) for each in zip(*measured, strict=True))
        times = [f"{1e3 * each:.0f}" for each in (load, check, batch)]
        row = [times[0], times[1], str(passes[name]), times[2], f"{check / load:.2f}"]
        results.add(Path(name).name, *row)
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
