"""What do the import, the command line and a first call take, in a process that begins?

    python -m benches.first_call [--tokenizers FOLDER] [--against FOLDER] [--runs 5]

Medians in milliseconds, each run in a process of its own, with the files in memory. `--clock
processor` counts those of all threads of a process, which other jobs on the machine change less.
"never seen" is a first process on a machine, which checks both models of the demo pair; "known" is
a later one, for which the checks' results are on disk. A bridge is what a decoder has between two
tokenizers: here between each one of `--tokenizers` and that of the demo pair's assistant, both
loaded before.

`--against` is a folder with another version, as `pip install --no-deps --target FOLDER CHECKOUT`
makes it. Both are measured in turns, so that the rest of the machine's load falls on both, and the
last column is how many times as long the other one takes.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import typer

import uag
from benches.common import JsonFile, Results, Runs, Threads, demo_folder

# Programs of a process, which print the milliseconds of each step. What is loaded before a step is
# no part of it.
BEGIN = """
import json, sys
from pathlib import Path
from time import perf_counter, process_time
clock = process_time if sys.argv[1] == "processor" else perf_counter
found, last = {}, clock()
def step(name=None):
    global last
    if name:
        found[name] = 1e3 * (clock() - last)
    last = clock()
"""
END = "\nprint(json.dumps(found))"
IMPORTS = """
import uag
step("import uag")
from uag import Bridge
step("from uag import Bridge, after it")
"""
PAIR = """
import uag
step()
uag.SpeculativeDecoder
import transformers.models.llama.modeling_llama
step(f"imports of a decoder, {sys.argv[4]}")
decoder = uag.SpeculativeDecoder.from_pretrained(*sys.argv[2:4], dtype="float32")
step(f"from_pretrained, demo pair, {sys.argv[4]}")
for text in ("first", "second"):
    decoder.generate("Once upon a time", max_new_tokens=32)
    step(f"{text} generate of 32 tokens, {sys.argv[4]}")
"""
BRIDGES = """
from transformers import PreTrainedTokenizerFast
from uag import Bridge
files = [Path(folder, "tokenizer.json") for folder in sys.argv[2:4]]
target, other = (PreTrainedTokenizerFast(tokenizer_file=str(file)) for file in files)
step()
for text in ("first", "second"):
    bridge = Bridge(target, other)
    step(f"{text} bridge, {files[0].parent.name}")
"""


class Clock(StrEnum):
    """What milliseconds are counted."""

    WALL = "wall"
    PROCESSOR = "processor"


def now(clock: Clock) -> float:
    """Seconds on a clock, of the processes that have ended if it is the processor's."""
    if clock == Clock.WALL:
        return perf_counter()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def python(folder: Path, assets: str, threads: int, *arguments: str) -> str:
    """What a Python process with a version of the package prints."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "HF_ASSETS_CACHE": assets,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: PLW1510
    if done.returncode:
        raise typer.BadParameter(f"{folder}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def measured(
    folder: Path, tokenizers: list[Path], threads: int, clock: Clock
) -> Iterator[tuple[str, float]]:
    """Each step with its milliseconds, once."""
    with TemporaryDirectory() as assets:

        def steps(program: str, *arguments: str) -> Iterator[tuple[str, float]]:
            code = BEGIN + program + END
            printed = python(folder, assets, threads, "-c", code, clock, *arguments)
            yield from json.loads(printed).items()

        yield from steps(IMPORTS)
        for option in ("--version", "--help"):
            start = now(clock)
            python(folder, assets, threads, "-m", "uag", option)
            yield f"uag {option}", 1e3 * (now(clock) - start)
        pair = demo_folder("target"), demo_folder("assistant")
        for seen in ("never seen", "known"):
            yield from steps(PAIR, *pair, seen)
        for tokenizer in tokenizers:
            yield from steps(BRIDGES, str(tokenizer), pair[1])


def main(
    tokenizers: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder with a folder for each big tokenizer."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with another version of uag."),
    ] = None,
    runs: Runs = 5,
    clock: Annotated[Clock, typer.Option(help="Wall-clock or processor time.")] = Clock.WALL,
    threads: Threads = 2,
    json_file: JsonFile = None,
) -> None:
    """Measure this version, and another one in turns."""
    found = (
        sorted(path.parent for path in tokenizers.glob("*/tokenizer.json")) if tokenizers else []
    )
    here = Path(uag.__file__).parents[1]
    sides = [here] if against is None else [here, against.resolve()]
    spent: dict[str, dict[Path, list[float]]] = {}
    for run in range(runs + 1):
        for side in sides:
            for name, milliseconds in measured(side, found, threads, clock):
                if run:  # the first one reads the files and compiles Python's modules
                    spent.setdefault(name, {}).setdefault(side, []).append(milliseconds)
    results = Results("ms", "this", *(["other", "other / this"] if against else []))
    for name, by_side in spent.items():
        medians = [median(by_side[side]) for side in sides]
        cells = [f"{each:.1f}" for each in medians]
        results.add(name, *cells, *([f"{medians[1] / medians[0]:.2f}"] if against else []))
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
