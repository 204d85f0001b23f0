"""Losslessness as a matrix: architectures, caches, tokenizers, options, ways to draw and to ask.

    python -m tests.campaigns.matrix
    python -m tests.campaigns.matrix --models ../shared/data/models --cells 600 --json matrix.json
    python -m tests.campaigns.matrix --only "target=gemma2 assistant=lfm2 draws=coupled seed=7"

Without `--cells` every two values that can go together do so in some case, and each documented
refusal is tried with each target. Greedy ids are compared with those of `model.generate`; drawn
ones with those that the target draws by itself for the seed, without keeping states; by rejection,
with those of the same decoder, one text at a time, without states. A case that differs is named,
with the smallest one that still does. Models with random weights are in float64, so that a
difference is one; where two scores are as good as level all the same, it is counted as a tie.
"""

import json
import logging
import time
import warnings
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.support.matrix.cases import FACTORS, Case, chosen, more, refused
from tests.support.matrix.models import look_in, trained
from tests.support.matrix.run import Outcome, counted, run, smallest
from uag.files import write_bytes

COLUMNS = (
    "cells",
    "refused",
    "texts",
    "tokens",
    "candidates",
    "accepted",
    "beside",
    "idle",
    "ties",
    "different",
)


def by_factor(outcomes: list[Outcome]) -> dict[str, dict[str, dict[str, int]]]:
    """The same for each value of each factor."""
    return {
        factor: {
            value: counted(of_value)
            for value in values
            if (of_value := [each for each in outcomes if getattr(each.case, factor) == value])
        }
        for factor, values in FACTORS.items()
    }


def table(outcomes: list[Outcome]) -> Table:
    """A row for each value."""
    shown = Table("factor", "value", *COLUMNS)
    for column in shown.columns[2:]:
        column.justify = "right"
    for factor, values in by_factor(outcomes).items():
        for index, (value, counts) in enumerate(values.items()):
            shown.add_row(
                "" if index else factor, value, *(f"{counts[name]:,}" for name in COLUMNS)
            )
        shown.add_section()
    shown.add_row("all", "", *(f"{counted(outcomes)[name]:,}" for name in COLUMNS))
    return shown


def summary(outcomes: list[Outcome]) -> str:
    """Whether drafts were right, and wrong, in the cases that have some."""
    drafting = [each for each in outcomes if each.texts and each.case.drafts]
    both = sum(0 < each.accepted < each.candidates for each in drafting)
    none = sum(not each.candidates for each in drafting)
    compiled = sum(each.engine == "compiled" for each in outcomes)
    return (
        f"of {len(drafting)} cells with drafts, {both} accepted some and rejected some; "
        f"{none} had no candidate; {compiled} ran compiled"
    )


def select(cells: int | None, seed: int, targets: tuple[str, ...]) -> list[Case]:
    """Those of the covering design and the refusals, or as many cases that run."""
    if cells is None:
        return [*chosen(seed, targets), *refused(seed, targets)]
    design = chosen(seed, targets) if cells >= 300 else []
    rest = islice(more(seed, targets), max(0, cells - len(design)))
    refusing = refused(seed, targets) if design else []
    return [*design[:cells], *rest, *refusing]


def quiet() -> None:
    """Warnings that cases bring about on purpose, and transformers' advice."""
    warnings.simplefilter("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    logging.getLogger("torch._dynamo").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)


def main(
    cells: Annotated[
        int | None, typer.Option(min=1, help="How many that run; all pairs of values if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of cases.")] = 0,
    only: Annotated[str | None, typer.Option(help="The name of a case: exactly that one.")] = None,
    models: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A folder of trained models.")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all cases here.")] = None,
) -> None:
    """Decode in every way, and compare; exit status 1 if a text is another one."""
    quiet()
    console = Console()
    if models:
        look_in(models)
    try:
        picked = [Case.named(only)] if only else select(cells, seed, tuple(trained()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    started = time.monotonic()
    outcomes: list[Outcome] = []
    for case in track(picked, "decoding", console=Console(stderr=True)):
        outcomes.append(outcome := run(case))
        if outcome.difference:
            kind = "a tie" if outcome.tie else "DIFFERENT"
            console.print(f"{kind}: {case}\n  {outcome.difference}", markup=False, soft_wrap=True)
        if outcome.failed and not only:
            small = smallest(case, lambda simpler: run(simpler).failed)
            console.print(f'  --only "{small}"', markup=False, soft_wrap=True)
    console.print(table(outcomes))
    console.print(summary(outcomes))
    counts = counted(outcomes)
    console.print(
        f"{counts['cells']} cells, seed {seed}: {counts['texts']:,} texts, "
        f"{counts['tokens']:,} tokens, {counts['refused']} refusals, {counts['ties']} ties, "
        f"{counts['different']} differences, {time.monotonic() - started:.0f} s"
    )
    if as_json:
        text = json.dumps(_written(outcomes, seed), indent=1)
        write_bytes(as_json, text.encode(), "results")
    raise typer.Exit(counts["different"] > 0)


def _written(outcomes: list[Outcome], seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "all": counted(outcomes),
        "by_factor": by_factor(outcomes),
        "cells": [
            {
                "name": str(each.case),
                "cell": asdict(each.case),
                **{name: value for name, value in asdict(each).items() if name != "case"},
                "failed": each.failed,
            }
            for each in outcomes
        ],
    }


if __name__ == "__main__":
    typer.run(main)
