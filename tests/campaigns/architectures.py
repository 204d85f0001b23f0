"""Every decoder of the installed transformers, tiny: is the text `generate`'s?

    python -m tests.campaigns.architectures --jobs 2 --out architectures.jsonl
    python -m tests.campaigns.architectures phi3-longrope mamba --std 0.02 --offset 0
    python -m tests.campaigns.architectures --as-on-a-gpu --std 0.3 --offset 0

Each class of the mappings for causal language models and for images and text, and some variants
whose rope or masks change within a text, is made with random weights. `model.generate` of a copy
that has read nothing says what is right. A kind fails if some text is another, or if an error is
raised that is not one of uag's.
"""

import json
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from tests.support.architectures.checks import CHECKS
from tests.support.architectures.kinds import kinds
from tests.support.architectures.models import OWN, Weights
from tests.support.architectures.report import report
from tests.support.architectures.run import Task, run_all
from tests.support.architectures.verdicts import Case, Verdict
from tests.support.engines import be_a_gpu
from tests.support.kernels import on_host

STDS = [OWN, 0.15, 0.3]

OFFSETS = [0.0, -10.0, -1e4]

ASKED = [*CHECKS]


def main(
    kind: Annotated[list[str] | None, typer.Argument(help="only these")] = None,
    std: Annotated[
        list[float], typer.Option(help="of the weights; 0.02: as the class itself draws them")
    ] = STDS,
    offset: Annotated[list[float], typer.Option(help="added to all logits")] = OFFSETS,
    jobs: Annotated[int, typer.Option(min=1, help="processes at once")] = 1,
    sample: Annotated[
        int | None, typer.Option(min=1, help="only so many kinds, the oddest and newest first")
    ] = None,
    check: Annotated[list[str], typer.Option(help="what is asked of each")] = ASKED,
    out: Annotated[Path | None, typer.Option(help="a file for lines of JSON")] = None,
    *,
    as_on_a_gpu: Annotated[
        bool, typer.Option(help="by captured passes and kernels, which a stand-in runs on the CPU")
    ] = False,
) -> None:
    """Check all kinds, and print a table."""
    if as_on_a_gpu:
        be_a_gpu()
        for head in (8, 16):  # of most of these: compiled once, and not by each process
            on_host(torch.float32, head)
    started, console = time.monotonic(), Console(stderr=True, highlight=False, soft_wrap=True)
    chosen = (kind or kinds())[:sample]
    tasks = [
        Task(each, Weights(drawn, added), tuple(check))
        for each in chosen
        for drawn in std
        for added in offset
    ]
    cases: list[Case] = []
    for case in run_all(tasks, jobs):
        cases.append(case)
        if case.worst is not Verdict.EXACT:
            bad = ", ".join(each.check for each in case.findings if each.verdict is case.worst)
            console.print(f"{len(cases)}/{len(tasks)} {case.kind} {case.weights}:", case.worst, bad)
        if out:
            with out.open("a") as lines:
                lines.write(json.dumps(case.as_json()) + "\n")
    typer.echo(report(cases))
    typer.echo(f"{len(cases)} cases, {time.monotonic() - started:.0f} s")
    raise typer.Exit(any(case.worst.failed for case in cases))


if __name__ == "__main__":
    typer.run(main)
