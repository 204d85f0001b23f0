"""`uag generate`: continues a prompt and prints the text as it is decoded."""

import json
import sys
from typing import Annotated, Any

import typer

from uag.cli.options import (
    Compile,
    DeviceMap,
    DType,
    Engine,
    Length,
    LookaheadOption,
    LookUp,
    Report,
    Safe,
    Texts,
    Trust,
    check_greedy,
    check_report,
    load_decoder,
    lookup_option,
    placement,
    write_report,
)
from uag.cli.terminal import be_quiet, printable

EXAMPLES = """Examples:

    uag generate --target google/gemma-2-9b --assistant double7/vicuna-68m "Alice and Bob"

    uag generate --target ./target --assistant ./assistant --json "Once" | jq .text

    echo "a long prompt" | uag generate --target ./target --assistant ./assistant -

    uag generate --target ./target --assistant lookup --text old.py "$(cat old.py)"
"""


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
    dtype: DType = "auto",
    device_map: DeviceMap = None,
    engine: Engine = "auto",
    compile: Compile = False,
    trust_remote_code: Trust = False,
    use_safetensors: Safe = True,
    report: Report = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the text.")
    ] = False,
) -> None:
    """Continue a prompt, and print the text as it is decoded."""
    shape = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    check_greedy(do_sample, shape | {"seed": seed})
    be_quiet()
    check_report(report)
    text = sys.stdin.read() if prompt == "-" else prompt
    where = lookup_option(assistant, lookup, texts)
    decoder = load_decoder(
        target,
        assistant,
        lookahead,
        lookup=where,
        engine=engine,
        compile=compile,
        trust_remote_code=trust_remote_code,
        use_safetensors=use_safetensors,
        **placement(dtype, device_map),
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
        described = {"text": out.text, "token_ids": out.token_ids, "seed": out.seed}
        print(json.dumps(described | {"stats": out.stats.as_dict()}))
    else:
        for piece in stream:
            sys.stdout.write(printable(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        out = stream.finish()
    write_report(report, [out])
