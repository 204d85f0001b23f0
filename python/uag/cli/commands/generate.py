"""`uag generate`: continues a prompt and prints the text as it is decoded."""

import json
import sys
from typing import Annotated, Any

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
from uag.cli.terminal import be_quiet, one_line, printable

EXAMPLES = """Examples:

    uag generate --target google/gemma-2-9b --assistant double7/vicuna-68m "Alice and Bob"

    uag generate --target ./target --assistant ./assistant --json "Once" | jq .text

    uag generate --target ./target --assistant ./assistant --stats "Once"

    echo "a long prompt" | uag generate --target ./target --assistant ./assistant -

    uag generate --target ./target --assistant lookup --text old.py "$(cat old.py)"
"""


@loads_weights
def generate(
    prompt: Annotated[
        str, typer.Argument(help="Text to continue; - reads it from standard input.")
    ],
    target: Annotated[str, typer.Option(help="Hub name or folder of the target, which writes.")],
    assistant: Annotated[
        str | None,
        typer.Option(help="Hub name or folder of the assistant; or 'lookup' to copy from texts."),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    max_new_tokens: Length = 128,
    lookahead: LookaheadOption = "auto",
    do_sample: Annotated[
        bool | None,
        typer.Option(
            "--do-sample/--no-do-sample",
            " /--greedy",
            help="Sample tokens, implied by the next four options; or the likeliest ones only. "
            "By default as the target's generation defaults say.",
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Temperature; below 1, likelier tokens more often.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the likeliest tokens up to this probability.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same text, with any assistant.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Stop after this text; may be repeated.")
    ] = None,
    engine: Engine = "auto",
    compile: Compile = False,
    report: Report = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the text.")
    ] = False,
    stats: Annotated[
        bool,
        typer.Option("--stats", help="Also print counts and speed, on a line of standard error."),
    ] = False,
    *,
    loading: Loading,
) -> None:
    """Continue a prompt, and print the text as it is decoded."""
    shape = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    check_greedy(do_sample, shape | {"seed": seed})
    be_quiet()
    check_report(report)
    from uag.benchmark.conditions import conditions
    from uag.lookahead.schedules import parse_lookahead

    text = sys.stdin.read() if prompt == "-" else prompt
    where = lookup_option(assistant, lookup, texts)
    decoder = loading.decoder(
        target,
        assistant,
        lookahead=parse_lookahead(lookahead),
        lookup=where,
        engine=engine,
        compile=compile,
    )
    asked: dict[str, Any] = {name: value for name, value in shape.items() if value is not None}
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens} | asked
    if asked or seed is not None:
        do_sample = True
    if do_sample is not None:
        options["do_sample"] = do_sample
    if stop:
        options |= {"stop_strings": stop}
    stream = decoder.stream(text, seed=seed, trace=report is not None, **options)
    if as_json:
        out = stream.finish()
        names = {"target": target, "assistant": assistant}
        print(json.dumps(out.as_dict() | names | conditions(decoder)))
    else:
        for piece in stream:
            sys.stdout.write(printable(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        out = stream.finish()
    for hint in out.stats.hints:
        if hint not in out.stats.prompt_hints:  # those were warnings
            print(f"uag: hint: {one_line(hint)}", file=sys.stderr)
    if stats:
        print(f"uag: {one_line(out.stats.summary())}", file=sys.stderr)
    write_report(report, [out])
