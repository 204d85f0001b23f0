"""`uag generate`: continues a prompt and prints the text as it is decoded."""

import json
import sys
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
from uag.cli.reading import as_prompt, chat_hint, read_text
from uag.cli.terminal import be_quiet, one_line, printable, tell_hints

if TYPE_CHECKING:
    from uag.decoding.output import TextStream

EXAMPLES = """Examples:

    uag generate --target google/gemma-2-9b --assistant double7/vicuna-68m "Alice and Bob"

    uag generate --target ./target --assistant ./assistant --json "Once" | jq .text

    uag generate --target ./target --assistant ./assistant --stats --prompt-file story.txt

    uag generate --target ./target-it --assistant ./assistant-it --system "Be brief." "Who are you?"

    echo "a long prompt" | uag generate --target ./target --assistant ./assistant -

    uag generate --target ./target --assistant lookup --text old.py "$(cat old.py)"
"""


@loads_weights
def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="Text to continue; - reads it from standard input.")
    ] = None,
    *,
    target: Annotated[str, typer.Option(help="Hub name or folder of the target, which writes.")],
    assistant: Annotated[
        str | None,
        typer.Option(help="Hub name or folder of the assistant; or 'lookup' to copy from texts."),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A file with the text, in place of the argument.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="The text is what a user says; print the reply.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="What the system says first; implies --chat.")
    ] = None,
    max_new_tokens: Length = 128,
    lookahead: LookaheadOption = "auto",
    do_sample: Annotated[
        bool | None,
        typer.Option(
            "--do-sample/--no-do-sample",
            " /--greedy",
            help="Sample tokens, implied by the next five options; or the likeliest ones only. "
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
    min_p: Annotated[
        float | None,
        typer.Option(help="Sample from tokens at least this likely, beside the likeliest one."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same text, with any assistant.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1, tokens that were there before are less likely.")
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
    loading: Loading,
) -> None:
    """Continue a prompt, and print the text as it is decoded."""
    shape = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    check_greedy(do_sample, shape | {"seed": seed})
    be_quiet()
    check_report(report)
    from uag.lookahead.schedules import parse_lookahead
    from uag.models.conditions import conditions

    text = read_text(prompt, prompt_file)
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
    if repetition_penalty is not None:
        options |= {"repetition_penalty": repetition_penalty}
    if stop:
        options |= {"stop_strings": stop}
    said = as_prompt(text, system, chat=chat)
    if said is text:
        tell_hints([chat_hint(decoder, target)])
    stream = decoder.stream(said, seed=seed, trace=report is not None, **options)
    if as_json:
        out = stream.finish()
        names = {"target": target, "assistant": assistant}
        print(json.dumps(out.as_dict() | names | conditions(decoder.model, decoder.assistant)))
    else:
        _print_text(stream)
        out = stream.finish()
    # Those about the prompt were warnings.
    tell_hints(hint for hint in out.stats.hints if hint not in out.stats.prompt_hints)
    if stats:
        print(f"uag: {one_line(out.stats.summary())}", file=sys.stderr)
    write_report(report, [out])


def _print_text(stream: "TextStream") -> None:
    try:
        for piece in stream:
            sys.stdout.write(printable(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
    finally:
        sys.stdout.write("\n")  # also after Ctrl-C, so that the shell's prompt has its own line
