"""`uag compare`: times plain decoding, transformers and uag on the same prompts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Compile,
    Engine,
    Length,
    LookaheadOption,
    LookUp,
    Report,
    Texts,
    check_greedy,
    check_report,
    lookup_option,
    write_report,
)
from uag.cli.terminal import be_quiet, printable, progress_bar

if TYPE_CHECKING:
    from uag.benchmark.comparison import Comparison
    from uag.decoder import SpeculativeDecoder
    from uag.decoding.output import Output

# More would only wait for each other, and many thousands stop the system.
MOST_THREADS = 1024
EXAMPLES = """Examples:

    uag compare

    uag compare --target ./target --assistant ./assistant --prompts HumanEval.jsonl.gz --limit 20
"""


@loads_weights
def compare(
    target: Annotated[
        str | None, typer.Option(help="Hub name or folder of the target; default: the demo pair.")
    ] = None,
    assistant: Annotated[
        str | None,
        typer.Option(help="Hub name or folder of the assistant; or 'lookup' to copy from texts."),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A .txt file of lines, or .jsonl with 'prompt', 'turns' or 'text' fields."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of prompts.")] = None,
    max_new_tokens: Length = 128,
    lookahead: LookaheadOption = "auto",
    num_assistant_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens that transformers drafts in a round.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Sample tokens at this temperature.")
    ] = None,
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy", "--no-do-sample", help="Decode greedily, as without --temperature."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed for sampling by uag.")] = 0,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each prompt by each method.")] = 3,
    engine: Engine = "auto",
    compile: Compile = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST_THREADS, help="Number of CPU threads.")
    ] = None,
    report: Report = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    *,
    loading: Loading,
) -> None:
    """Time plain decoding, transformers' assisted generation and uag on the same prompts."""
    if target is None and assistant is not None:
        raise typer.BadParameter("give both --target and --assistant, or neither")
    if target is not None and not (assistant or texts or lookup):
        raise typer.BadParameter("--target also needs --assistant, or --text to draft from")
    check_greedy(False if greedy else None, {"temperature": temperature})
    be_quiet()
    check_report(report)
    import torch
    from rich.console import Console

    from uag.benchmark import compare as measure
    from uag.benchmark.prompts import read_prompts
    from uag.lookahead.schedules import parse_lookahead
    from uag.models.conditions import conditions
    from uag.report.tables import comparison_table

    beginnings = measure.PROMPTS[:limit] if prompts is None else read_prompts(prompts, limit)
    where = lookup_option(assistant, lookup, texts)
    if threads is not None:
        torch.set_num_threads(threads)
    options: dict[str, Any] = {"lookahead": parse_lookahead(lookahead), "lookup": where}
    options |= {"engine": engine, "compile": compile}
    if target is None:
        from uag.demo import demo_decoder

        decoder = demo_decoder(**options, **loading.options)
    else:
        decoder = loading.decoder(target, assistant, **options)
    with progress_bar() as progress:
        comparison = measure.compare(
            decoder,
            beginnings,
            runs=runs,
            max_new_tokens=max_new_tokens,
            num_assistant_tokens=num_assistant_tokens,
            temperature=temperature,
            seed=seed,
            progress=progress,
        )
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
    if report is not None:
        outs = _traced(decoder, comparison, max_new_tokens, temperature, seed)
        write_report(report, outs, comparison)


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
