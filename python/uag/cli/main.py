"""The `uag` command: tables for people, JSON for programs, one line for a mistake."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from uag.cli.inspect import EXAMPLES as INSPECT_EXAMPLES
from uag.cli.inspect import inspect
from uag.cli.plot import EXAMPLES as PLOT_EXAMPLES
from uag.cli.plot import plot
from uag.cli.terminal import be_quiet, one_line, printable, progress_bar
from uag.errors import LoadError, UagError

if TYPE_CHECKING:
    from uag.benchmark.comparison import Comparison
    from uag.decoder import SpeculativeDecoder
    from uag.decoding.output import Output
    from uag.drafting.lookup import Lookup

app = typer.Typer(
    help="Any decoder generates faster with any smaller one, whatever their tokenizers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Try [bold]uag demo[/bold] first: it needs no download.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

GENERATE_EXAMPLES = """Examples:

    uag generate --target google/gemma-2-9b --assistant double7/vicuna-68m "Alice and Bob"

    uag generate --target ./target --assistant ./assistant --json "Once" | jq .text

    echo "a long prompt" | uag generate --target ./target --assistant ./assistant -

    uag generate --target ./target --assistant lookup --text old.py "$(cat old.py)"
"""

COMPARE_EXAMPLES = """Examples:

    uag compare

    uag compare --target ./target --assistant ./assistant --prompts HumanEval.jsonl.gz --limit 20
"""

Length = Annotated[
    int, typer.Option("--max-new-tokens", "-n", min=1, help="Most target tokens to generate.")
]
Guesses = Annotated[
    str,
    typer.Option(
        "--lookahead", "-k", help="Assistant tokens to draft a round, 'auto' or 'heuristic'."
    ),
]
DType = Annotated[str, typer.Option(help="Number type of the weights: auto, float32, bfloat16 ...")]
DeviceMap = Annotated[str | None, typer.Option(help="Where to put the models: auto, cuda, cpu ...")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile both models first, which takes a while.")
]
Report = Annotated[
    Path | None,
    typer.Option(help="Also write a page that shows every round, to open in a browser."),
]
LookUp = Annotated[
    bool | None,
    typer.Option(help="Whether the text so far drafts too; by default with lookahead auto."),
]
Texts = Annotated[
    list[Path] | None, typer.Option("--text", help="A file to draft from; may be repeated.")
]
Trust = Annotated[bool, typer.Option(help="Run code that comes with the models.")]
Safe = Annotated[bool, typer.Option(help="Read no weights that can run code: pickles.")]


def main(arguments: Sequence[str] | None = None, command: typer.Typer = app) -> NoReturn:
    """Run the command line: exit status 0 if all went well, 1 for a failure, 2 for wrong usage."""
    try:
        command(args=None if arguments is None else list(arguments))
    except UagError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader has gone (`| head`): nobody is left to tell.
        sys.stderr.close()
        sys.exit(1)
    sys.exit(0)


def _fail(message: str) -> NoReturn:
    print(f"uag: {one_line(message)}", file=sys.stderr)
    sys.exit(1)


def _show_version(wanted: bool) -> None:
    if wanted:
        import uag

        print(f"uag {uag.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command(epilog=GENERATE_EXAMPLES)
def generate(
    prompt: Annotated[
        str, typer.Argument(help="Text to continue; - reads it from standard input.")
    ],
    target: Annotated[str, typer.Option(help="Hub name or folder of the model whose text it is.")],
    assistant: Annotated[
        str | None,
        typer.Option(help="Hub name or folder of the model that drafts; or 'lookup', the text."),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    max_new_tokens: Length = 128,
    lookahead: Guesses = "auto",
    do_sample: Annotated[
        bool, typer.Option("--do-sample", help="Draw tokens; so do the options that follow.")
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1: likelier tokens more often.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Only the likeliest so many.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only the likeliest up to this chance.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same text again, with any assistant or none.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Stop after this text; may be repeated.")
    ] = None,
    dtype: DType = "auto",
    device_map: DeviceMap = None,
    compile: Compile = False,
    trust_remote_code: Trust = False,
    use_safetensors: Safe = True,
    report: Report = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the text.")
    ] = False,
) -> None:
    """Continue a prompt, streaming the text."""
    be_quiet()
    _check_report(report)
    text = sys.stdin.read() if prompt == "-" else prompt
    where = _lookup(assistant, lookup, texts)
    trust = {"trust_remote_code": trust_remote_code, "use_safetensors": use_safetensors}
    placement = _placement(dtype, device_map)
    decoder = _load(target, assistant, where, lookahead, compile, **placement, **trust)
    shape = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    asked: dict[str, Any] = {name: value for name, value in shape.items() if value is not None}
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens} | asked
    if do_sample or asked or seed is not None:
        options |= {"do_sample": True}
    if stop:
        options |= {"stop_strings": stop}
    stream = decoder.stream(text, seed=seed, trace=report is not None, **options)
    if as_json:
        out = stream.finish()
        print(json.dumps(_described(out)))
    else:
        for piece in stream:
            sys.stdout.write(printable(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        out = stream.finish()
    _write_report(report, [out])


@app.command(epilog="Example:\n\n    uag demo --prompt 'One day, a little dog'")
def demo(
    prompt: Annotated[str, typer.Option(help="Beginning of the story.")] = "Once upon a time",
    max_new_tokens: Length = 120,
    lookahead: Guesses = "auto",
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each kind.")] = 3,
    report: Report = None,
) -> None:
    """Tell a story with the small pair of models in this package, plainly and assisted."""
    be_quiet()
    _check_report(report)
    from rich.console import Console

    from uag.benchmark import compare as measure
    from uag.lookahead.schedules import parse_lookahead
    from uag.report.tables import comparison_table, story

    decoder = demo_decoder(parse_lookahead(lookahead))
    console = Console(highlight=False)
    out = decoder.generate(prompt, max_new_tokens=max_new_tokens, trace=report is not None)
    console.print(story(printable(prompt), out, decoder.bridge.target, printable))
    console.print()
    with progress_bar() as progress:
        comparison = measure.compare(
            decoder,
            prompt,
            runs=runs,
            max_new_tokens=max_new_tokens,
            with_transformers=False,
            progress=progress,
        )
    console.print(comparison_table(comparison, printable))
    _write_report(report, [out], comparison)
    if not comparison.identical:
        _fail("the assisted text differs from the plain one, which must not happen in float32")


@app.command(epilog=COMPARE_EXAMPLES)
def compare(
    target: Annotated[
        str | None, typer.Option(help="Hub name or folder; without it, the demo pair.")
    ] = None,
    assistant: Annotated[
        str | None,
        typer.Option(help="Hub name or folder of the model that drafts; or 'lookup', the text."),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A .txt file of lines, or .jsonl with 'prompt', 'turns' or 'text'."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many prompts.")
    ] = None,
    max_new_tokens: Length = 128,
    lookahead: Guesses = "auto",
    num_assistant_tokens: Annotated[
        int | None, typer.Option(min=1, help="Lookahead of transformers, if not its default.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Draw tokens with it, instead of the likeliest.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what uag draws.")] = 0,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each prompt and kind.")] = 3,
    dtype: DType = "auto",
    device_map: DeviceMap = None,
    compile: Compile = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Torch's threads on the CPU.")] = None,
    trust_remote_code: Trust = False,
    use_safetensors: Safe = True,
    report: Report = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Time plain decoding, transformers' assisted generation and uag on the same prompts."""
    if (target is None) != (assistant is None):
        raise typer.BadParameter("give both --target and --assistant, or neither")
    be_quiet()
    _check_report(report)
    import torch
    from rich.console import Console

    from uag.benchmark import compare as measure
    from uag.benchmark.prompts import read_prompts
    from uag.lookahead.schedules import parse_lookahead
    from uag.report.tables import comparison_table

    beginnings = measure.PROMPTS[:limit] if prompts is None else read_prompts(prompts, limit)
    where = _lookup(assistant, lookup, texts)
    if threads is not None:
        torch.set_num_threads(threads)
    placement = _placement(dtype, device_map)
    if target is None:
        decoder = demo_decoder(
            parse_lookahead(lookahead), compile=compile, lookup=where, **placement
        )
    else:
        trust = {"trust_remote_code": trust_remote_code, "use_safetensors": use_safetensors}
        decoder = _load(target, assistant, where, lookahead, compile, **placement, **trust)
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
            "assistant": assistant,
            "lookup": decoder.lookup is not None,
            "dtype": str(decoder.model.dtype).removeprefix("torch."),
            "device": str(decoder.model.device),
            "threads": torch.get_num_threads(),
            "max_new_tokens": max_new_tokens,
            "lookahead": lookahead,
            "temperature": temperature,
            "seed": None if temperature is None else seed,
            "compile": compile,
            "runs": runs,
        }
        print(json.dumps(settings | comparison.as_dict()))
    else:
        Console(highlight=False).print(comparison_table(comparison, printable))
    if report is not None:
        # Once more, so that what is timed is not watched.
        options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False}
        if temperature is not None:
            options |= {"do_sample": True, "temperature": temperature, "seed": seed}
        outs = [decoder.stream(text, trace=True, **options).finish() for text in comparison.prompts]
        _write_report(report, outs, comparison)


app.command(epilog=INSPECT_EXAMPLES)(inspect)
app.command(epilog=PLOT_EXAMPLES)(plot)


def _check_report(path: Path | None) -> None:
    if path is not None:
        from uag.files import check_writable

        check_writable(path)


def _write_report(
    path: Path | None, outs: "list[Output]", comparison: "Comparison | None" = None
) -> None:
    if path is not None:
        from uag.report.page import write_page

        write_page(path, outs, comparison)
        print(f"uag: every round is in {printable(str(path))}", file=sys.stderr)


def demo_decoder(lookahead: int | str, **options: Any) -> "SpeculativeDecoder":
    """The pair of models that comes with the package, in float32 if no other type is given."""
    from importlib.resources import as_file, files

    from uag.decoder import SpeculativeDecoder

    if options.get("dtype", "auto") == "auto":
        options["dtype"] = "float32"
    with as_file(files("uag") / "demo_pair") as folder:
        return SpeculativeDecoder.from_pretrained(
            str(folder / "target"), str(folder / "assistant"), lookahead=lookahead, **options
        )


def _lookup(
    assistant: str | None, beside: bool | None, files: list[Path] | None
) -> "Lookup | bool | None":
    """What to look up in, if anything; `None` if that is not said."""
    if not (files or assistant == "lookup"):
        return beside
    if beside is False:
        raise typer.BadParameter("--no-lookup, but there is a text to draft from: leave one out")
    from uag.drafting.lookup import Lookup

    texts: list[bytes] = []
    for file in files or []:
        try:
            texts.append(file.read_bytes())
        except OSError as error:
            raise LoadError(f"cannot read {file}: {error.strerror}") from error
    return Lookup(texts)


def _load(
    target: str,
    assistant: str | None,
    lookup: "Lookup | bool | None",
    lookahead: str,
    compile: bool,
    **options: Any,
) -> "SpeculativeDecoder":
    from uag.decoder import SpeculativeDecoder
    from uag.lookahead.schedules import parse_lookahead

    return SpeculativeDecoder.from_pretrained(
        target,
        None if assistant == "lookup" else assistant,
        lookup=lookup,
        lookahead=parse_lookahead(lookahead),
        compile=compile,
        **options,
    )


def _placement(dtype: str, device_map: str | None) -> dict[str, Any]:
    return {"dtype": dtype} | ({} if device_map is None else {"device_map": device_map})


def _described(out: "Output") -> dict[str, Any]:
    stats = out.stats
    return {
        "text": out.text,
        "token_ids": out.token_ids,
        "seed": out.seed,
        "stats": {
            "tokens": stats.tokens,
            "rounds": stats.rounds,
            "target_forwards": stats.target_forwards,
            "drafted": stats.drafted,
            "candidates": stats.candidates,
            "accepted": stats.accepted,
            "looked_up": stats.looked_up,
            "looked_up_accepted": stats.looked_up_accepted,
            "tokens_per_forward": round(stats.tokens_per_forward, 3),
            "seconds": {phase: round(spent, 6) for phase, spent in stats.seconds.items()},
            "engines": stats.engines,
            "compile_seconds": round(stats.compile_seconds, 3),
            "assistant_error": stats.assistant_error or None,
        },
    }
