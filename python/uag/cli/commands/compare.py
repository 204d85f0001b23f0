"""`uag compare`: times plain decoding, transformers and uag on the same prompts."""

import gc
import json
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.help import DRAFTING, MODELS, OUTPUT, RUNNING, SAMPLING, TEXT
from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Assistants,
    Compile,
    Conflict,
    Engine,
    Length,
    LookaheadOption,
    LookUp,
    Report,
    Runs,
    Texts,
    TreeOption,
    check_greedy,
    check_report,
    write_report,
)
from uag.cli.terminal import INTERRUPTED, be_quiet, printable, tell
from uag.cli.watching import watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from uag.benchmark.comparison import Comparison
    from uag.benchmark.timing import Timing
    from uag.decoder import SpeculativeDecoder
    from uag.decoding.output import Output

    Load = Callable[..., SpeculativeDecoder]
    Measure = Callable[[SpeculativeDecoder], Timing]

# More would only wait for each other, and many thousands stop the system.
MOST_THREADS = 1024
EXAMPLES = """Examples:

    uag compare

    uag compare --target ./target --assistant ./assistant \\
        --prompts HumanEval.jsonl.gz --limit 20

    uag compare --target ./target --assistant ./before --assistant ./after
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
    assistants: Assistants = None,
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
    tree: TreeOption = 0,
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
    names = assistants or [None]
    if target is None and assistants:
        raise Conflict("--assistant, but no --target: give both, or neither")
    if target is not None and not (assistants or texts or lookup):
        raise Conflict("--target, but nothing that drafts: give --assistant too, or --text")
    if report is not None and len(names) > 1:
        raise Conflict("--report shows one assistant: leave it out, or give one --assistant")
    check_greedy(False if greedy else None, {"temperature": temperature})
    loading.check_assistant(*names)
    be_quiet()
    check_report(report)
    import torch
    from rich.console import Console

    from uag.benchmark.compare import PROMPTS
    from uag.benchmark.prompts import read_prompts
    from uag.benchmark.timing import Timing
    from uag.limits import check_limits
    from uag.report.tables import comparison_table

    check_limits({"temperature": temperature, "seed": seed})
    beginnings = PROMPTS[:limit] if prompts is None else read_prompts(prompts, limit)
    if threads is not None:
        torch.set_num_threads(threads)
    load = partial(
        loading.decoder,
        lookahead=lookahead,
        tree=tree,
        lookup=lookup,
        texts=texts,
        engine=engine,
        compile=compile,
    )
    measure = partial(
        Timing,
        prompts=beginnings,
        runs=runs,
        max_new_tokens=max_new_tokens,
        num_assistant_tokens=num_assistant_tokens,
        temperature=temperature,
        seed=seed,
    )
    settings = {
        "max_new_tokens": max_new_tokens,
        "lookahead": lookahead,
        "tree": tree,
        "temperature": temperature,
        "seed": None if temperature is None else seed,
        "engine": engine,
        "compile": compile,
        "runs": runs,
    }
    if target is not None and len(names) > 1:
        _choose(target, [*filter(None, names)], load, measure, settings, as_json=as_json)
        return
    decoder = load(target, names[0])
    comparison = _compared(measure(decoder))
    if as_json:
        pair = {"target": target, "assistant": "lookup" if target and not names[0] else names[0]}
        print(json.dumps(pair | _described(decoder, settings, comparison)))
    else:
        Console(highlight=False).print(comparison_table(comparison, printable))
    if comparison.interrupted is not None:
        raise typer.Exit(INTERRUPTED)
    if report is not None:
        outs = _traced(decoder, comparison, max_new_tokens, temperature, seed)
        write_report(report, outs, comparison)


def _choose(
    target: str,
    assistants: list[str],
    load: "Load",
    measure: "Measure",
    settings: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Compare assistants one after the other, and print which of them to take."""
    from rich.console import Console

    from uag.benchmark.selection import Selection
    from uag.report.selection_table import selection_table

    turns = _turns(target, assistants, load, measure, settings)
    if not turns:
        raise typer.Exit(INTERRUPTED)
    selection = Selection(assistants, [comparison for comparison, _ in turns])
    if as_json:
        found = selection.recommendation
        described = [
            {"target": target, "assistant": name} | facts
            for name, (_, facts) in zip(assistants, turns, strict=False)
        ]
        whole = {
            "target": target,
            "complete": selection.complete,
            "assistants": described,
            "recommendation": None if found is None else found.as_dict(),
        }
        print(json.dumps(whole))
    else:
        Console(highlight=False).print(selection_table(selection, printable))
    if not selection.complete:
        raise typer.Exit(INTERRUPTED)


def _turns(
    target: str,
    assistants: list[str],
    load: "Load",
    measure: "Measure",
    settings: dict[str, Any],
) -> "list[tuple[Comparison, dict[str, Any]]]":
    """The comparison with each assistant, and its JSON, until Ctrl-C at most.

    The target is loaded once, and each assistant let go before the next, so two models at a time
    are in memory.
    """
    from uag.benchmark.methods import let_go

    model: Any = target
    tokenizer: Any = None
    # What is wrong with a later one should show before an hour is spent on the first.
    for name in assistants[:0:-1]:
        model, tokenizer = _target_of(load(model, name, tokenizer=tokenizer))
        gc.collect()
    turns: list[tuple[Comparison, dict[str, Any]]] = []
    with suppress(KeyboardInterrupt):
        for place, name in enumerate(assistants, start=1):
            decoder = load(model, name, tokenizer=tokenizer)
            tell(f"timing {name}, {place} of {len(assistants)}")
            comparison = _compared(measure(decoder))
            turns.append((comparison, _described(decoder, settings, comparison)))
            if comparison.interrupted is not None:
                break
            let_go(decoder)
            del decoder
            gc.collect()
    return turns


def _target_of(decoder: "SpeculativeDecoder") -> tuple[Any, Any]:
    return decoder.model, decoder.processor or decoder.tokenizer


def _compared(timing: "Timing") -> "Comparison":
    """The comparison after its runs, until Ctrl-C at most."""
    with suppress(KeyboardInterrupt), closing(timing.runs()) as made, watched(timing) as show:
        for _ in made:
            show()
    return timing.result()


def _described(
    decoder: "SpeculativeDecoder", settings: dict[str, Any], comparison: "Comparison"
) -> dict[str, Any]:
    """What is printed as JSON of a comparison, but for the names of the pair."""
    from uag.models.conditions import conditions

    lookup = {"lookup": decoder.lookup is not None}
    measured = conditions(decoder.model, decoder.assistant) | comparison.as_dict()
    return lookup | settings | measured


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
