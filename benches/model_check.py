"""What does the check of a model take, beside loading the model?

    python -m benches.model_check [--target T] [--assistant A] [--runs 5]

Medians in milliseconds. "load" is `from_pretrained` of the model alone, with its files in memory;
"check" is what a decoder does with a kind of model that it has never seen; "batch" what the first
call with several prompts adds; "passes" how many forward passes the check makes; "known" what a
later process takes for both, which finds on disk what was found.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
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


def forget(folder: str) -> None:
    """Know only what is kept in a folder, as a process that begins."""
    from uag.models.check import records

    records._records.clear()
    records._surroundings.cache_clear()
    records._folder = lambda: Path(folder)


def checked(load: Callable[[], PreTrainedModel]) -> tuple[float, ...]:
    """Seconds of loading a model, of its checks, and of those where their result is known."""
    from uag.batching.batch_cache import rows_fault
    from uag.models.check.way import way_of

    with TemporaryDirectory() as folder:
        forget(folder)
        model, loading = timed(load)
        _, check = timed(way_of, model)
        _, batch = timed(rows_fault, model)
        forget(folder)
        again = load()
        _, known = timed(lambda: (way_of(again), rows_fault(again)))
    return loading, check, batch, known


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
    from uag.models.loading.by_name import load_model

    begin(threads)
    names = [name for name in pair_names(target, assistant) if name is not None]
    seconds: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    passes: dict[str, int] = {}
    for _ in range(runs):
        for name in names:
            load = partial(load_model, name, dtype=dtype, trust_remote_code=trust_remote_code)
            seconds[name].append(checked(load))
            passes[name] = check_passes(load())
    results = Results("model", "load", "check", "passes", "batch", "known", "known / load")
    for name, measured in seconds.items():
        medians = [median(each) for each in zip(*measured, strict=True)]
        loading, check, batch, known = (f"{1e3 * each:.1f}" for each in medians)
        share = f"{medians[3] / medians[0]:.3f}"
        results.add(Path(name).name, loading, check, str(passes[name]), batch, known, share)
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
