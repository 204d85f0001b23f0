"""`uag compare`: times plain decoding, transformers and uag on the same prompts."""

import json
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.help import DRAFTING, MODELS, OUTPUT, RUNNING, SAMPLING, TEXT
from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Assistant,
    Compile,
    Conflict,
    Engine,
    Length,
    LookaheadOption,
    LookUp,
    Report,
    Runs,
    Texts,
    check_greedy,
    check_report,
    write_report,
)
from uag.cli.terminal import INTERRUPTED, be_quiet, printable
from uag.cli.watching import watched

if TYPE_CHECKING:
    from uag.benchmark.comparison import Comparison
    from uag.benchmark.timing import Timing
    from uag.decoder import SpeculativeDecoder
    from uag.decoding.output import Output

# More would only wait for each other, and many thousands stop the system.
MOST_THREADS = 1024
EXAMPLES = """Examples:

    uag compare

    uag compare --target ./target --assistant ./assistant \\
        --prompts HumanEval.jsonl.gz --limit 20
"""


@loads_weights
def compare(
    target: Annotated[
        str | None,
        typer.Option(
            help="Hub name or folder of the model that writes. By default the demo pair's.",
            metavar="NAME",
            rich_help_panel=MODELS,
        ),
    ] = None,
    assistant: Assistant = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A file with prompts: .txt with one on each line, or .jsonl with a field prompt, "
            "turns or text. By default ones that come with the package.",
            metavar="FILE",
            rich_help_panel=TEXT,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Read at most this many prompts.", metavar="NUMBER", rich_help_panel=TEXT
        ),
    ] = None,
    max_new_tokens: Length = 128,
    lookahead: LookaheadOption = "auto",
    num_assistant_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens that transformers drafts in a round.",
            metavar="NUMBER",
            rich_help_panel=DRAFTING,
        ),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sample tokens at this temperature.", metavar="NUMBER", rich_help_panel=SAMPLING
        ),
    ] = None,
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy",
            "--no-do-sample",
            help="Always take the likeliest token, as without --temperature.",
            rich_help_panel=SAMPLING,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of uag's random choices.", metavar="NUMBER", rich_help_panel=SAMPLING
        ),
    ] = 0,
    runs: Runs = 3,
    engine: Engine = "auto",
    compile: Compile = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_THREADS,
            help="CPU threads to use.",
            metavar="NUMBER",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object in place of a table.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    report: Report = None,
    *,
    loading: Loading,
) -> None:
    """Time plain decoding, transformers' assisted generation and uag on the same prompts."""
    if target is None and assistant is not None:
        raise Conflict("--assistant, but no --target: give both, or neither")
    if target is not None and not (assistant or texts or lookup):
        raise Conflict("--target, but nothing that drafts: give --assistant too, or --text")
    check_greedy(False if greedy else None, {"temperature": temperature})
    loading.check_assistant(assistant)
    be_quiet()
    check_report(report)
    import torch
    from rich.console import Console

    from uag.benchmark.compare import PROMPTS
    from uag.benchmark.prompts import read_prompts
    from uag.benchmark.timing import Timing
    from uag.limits import check_limits
    from uag.models.conditions import conditions
    from uag.report.tables import comparison_table

    check_limits({"temperature": temperature, "seed": seed})
    beginnings = PROMPTS[:limit] if prompts is None else read_prompts(prompts, limit)
    if threads is not None:
        torch.set_num_threads(threads)
    decoder = loading.decoder(
        target,
        assistant,
        lookahead=lookahead,
        lookup=lookup,
        texts=texts,
        engine=engine,
        compile=compile,
    )
    timing = Timing(
        decoder,
        beginnings,
        runs=runs,
        max_new_tokens=max_new_tokens,
        num_assistant_tokens=num_assistant_tokens,
        temperature=temperature,
        seed=seed,
    )
    _run(timing)
    comparison = timing.result()
    if as_json:
        settings = {
            "target": target,
            "assistant": "lookup" if target and assistant is None else assistant,
            "lookup": decoder.lookup is not None,
            "max_new_tokens": max_new_tokens,
            "lookahead": lookahead,
            "temperature": temperature,
            "seed": None if temperature is None else seed,
            "engine": engine,
            "compile": compile,
            "runs": runs,
        }
        print(
            json.dumps(
                settings | conditions(decoder.model, decoder.assistant) | comparison.as_dict()
            )
        )
    else:
        Console(highlight=False).print(comparison_table(comparison, printable))
    if comparison.interrupted is not None:
        raise typer.Exit(INTERRUPTED)
    if report is not None:
        outs = _traced(decoder, comparison, max_new_tokens, temperature, seed)
        write_report(report, outs, comparison)


def _run(timing: "Timing") -> None:
    """Make the runs, until Ctrl-C at most."""
    with suppress(KeyboardInterrupt), closing(timing.runs()) as made, watched(timing) as show:
        for _ in made:
            show()


def _traced(
    decoder: "SpeculativeDecoder",
    comparison: "Comparison",
    max_new_tokens: int,
    temperature: float | None,
    seed: int,
) -> "list[Output]":
    """The outputs for the same prompts, decoded again with a trace: timed runs have none."""
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False}
    if temperature is not None:
        options |= {"do_sample": True, "temperature": temperature, "seed": seed}
    return [decoder.generate(text, trace=True, **options) for text in comparison.prompts]
