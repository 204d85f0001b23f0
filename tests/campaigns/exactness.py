"""Drawn texts have exactly the target's distribution: every text of three tokens, counted.

    python -m tests.campaigns.exactness --samples 100000 --seeds 50

The target is so small that the probability of every text can be added up, from transformers' own
warpers in double precision. Texts drawn by the decoder, with assistants of every kind, are compared
with that by chi-squared tests. Many more are drawn straight from the table of scores, by a sampler
that gives the decoder's ids, to see whether the tests' p-values are uniform over seeds. The same
test must notice samplers that are broken on purpose.
"""

import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
import typer
from scipy.stats import kstest

from tests.support.exactness.broken import BROKEN, broken_p_value
from tests.support.exactness.samples import (
    BROKEN_P,
    GENERATED,
    LEAST_P,
    decoders_of,
    differing,
    draw,
    from_decoder,
    from_table,
    generated,
    p_value,
    p_values,
    rejecting,
)
from tests.support.exactness.table import SETTINGS


@dataclass(frozen=True)
class Report:
    """Prints each number as it comes, and remembers whether all were as they should be."""

    title: str
    wrong: list[str] = field(default_factory=list)

    def __call__(self, what: str, numbers: str, *, fine: bool) -> None:
        typer.echo(f"{self.title} | {what} | {numbers}{'' if fine else ' | WRONG'}")
        if not fine:
            self.wrong.append(what)


def report_decoders(report: Report, settings: dict[str, Any], samples: int) -> None:
    """The decoder with each assistant, and that it draws what the table does."""
    table, found = decoders_of(settings)
    for seed, (name, decoder) in enumerate(found.items()):
        drawn = draw(decoder, settings, seed, samples)
        value = p_value(drawn.texts, table.probabilities())
        unlike = [
            differing(drawn.texts, from_table(table, decoder, seed, samples)),
            differing(drawn.texts, generated(decoder, settings, seed, GENERATED)),
        ]
        report(
            name,
            f"{drawn.accepted:,} of {drawn.candidates:,} candidates accepted, "
            f"{unlike[0]} unlike the table's, {unlike[1]} unlike generate's, p {value:.4f}",
            fine=value > LEAST_P and not any(unlike),
        )


def report_rejection(report: Report, settings: dict[str, Any], samples: int) -> None:
    """Sampling by rejection, whose texts are others, with the same distribution."""
    table, found = rejecting(settings)
    for seed, (name, decoder) in enumerate(found.items()):
        drawn = draw(decoder, settings, seed, samples)
        value = p_value(drawn.texts, table.probabilities())
        report(
            f"by rejection, {name}",
            f"{drawn.accepted:,} of {drawn.candidates:,} candidates accepted, p {value:.4f}",
            fine=value > LEAST_P,
        )


def report_uniformity(report: Report, settings: dict[str, Any], seeds: int, samples: int) -> None:
    """The distribution of p-values over seeds."""
    values = p_values(settings, range(1000, 1000 + seeds), samples)
    uniform = float(kstest(values, "uniform").pvalue)
    report(
        f"{seeds} seeds",
        f"p from {min(values):.4f} to {max(values):.4f}, Kolmogorov-Smirnov p {uniform:.4f}",
        fine=uniform > LEAST_P,
    )


def report_broken(report: Report, settings: dict[str, Any], samples: int) -> None:
    """What the test says of broken variants."""
    for broken in BROKEN:
        value = broken_p_value(broken, settings, from_decoder, 0, samples)
        report(f"{broken.__name__}, {samples:,} texts", f"p {value:.3g}", fine=value < BROKEN_P)


def main(
    samples: Annotated[int, typer.Option(min=1000, help="texts a test")] = 100_000,
    seeds: Annotated[int, typer.Option(min=2, help="tests for uniformity")] = 50,
    broken: Annotated[int, typer.Option(min=1000, help="texts a broken variant")] = 10_000,
    setting: Annotated[
        list[int] | None, typer.Option(help="0 or 1: only this one; may be repeated")
    ] = None,
) -> None:
    """Test the decoder with every assistant, the uniformity of p-values, and broken variants."""
    torch.set_num_threads(1)
    started = time.monotonic()
    reports: list[Report] = []
    for number, (title, settings) in enumerate(SETTINGS.items()):
        if setting and number not in setting:
            continue
        reports.append(report := Report(title))
        report_broken(report, settings, broken)
        report_uniformity(report, settings, seeds, samples)
        report_rejection(report, settings, samples)
        report_decoders(report, settings, samples)
    wrong = [what for report in reports for what in report.wrong]
    typer.echo(f"{len(wrong)} wrong, {time.monotonic() - started:.0f} s")
    raise typer.Exit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
