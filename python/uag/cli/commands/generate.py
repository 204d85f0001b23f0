"""`uag generate`: continues a prompt and prints the text as it is decoded."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uag.cli.help import MODELS, OUTPUT, TEXT
from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Assistant,
    Compile,
    DoSample,
    Engine,
    Length,
    LookaheadOption,
    LookUp,
    MinP,
    RepetitionPenalty,
    Report,
    Seed,
    System,
    Temperature,
    Texts,
    TopK,
    TopP,
    TreeOption,
    check_report,
    check_text,
    generation_options,
    write_report,
)
from uag.cli.reading import as_prompt, chat_hint, read_text
from uag.cli.terminal import be_quiet, printable, tell, tell_hints

if TYPE_CHECKING:
    from uag.decoding.output import TextStream

EXAMPLES = """Examples:

    uag generate "Alice and Bob" \\
        --target google/gemma-2-9b --assistant double7/vicuna-68m

    uag generate --target ./target --assistant ./assistant \\
        --prompt-file story.txt --stats

    uag generate --target ./target-it --assistant ./assistant-it \\
        --system "Be brief." "Who are you?"

    uag generate --target ./target --assistant lookup \\
        --text old.py "$(cat old.py)"

    echo "a long prompt" | uag generate --target ./target -

    uag generate --target ./target --json "Once" | jq .text
"""


@loads_weights
def generate(
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="The text to continue; - reads it from standard input.", rich_help_panel=TEXT
        ),
    ] = None,
    *,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the text, in place of the argument.",
            metavar="FILE",
            rich_help_panel=TEXT,
        ),
    ] = None,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Take the text as what a user says in a chat, and write the reply.",
            rich_help_panel=TEXT,
        ),
    ] = False,
    system: System = None,
    max_new_tokens: Length = 128,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help="Stop after this text. May be repeated.", metavar="TEXT", rich_help_panel=TEXT
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            help="Hub name or folder of the model that writes.",
            metavar="NAME",
            rich_help_panel=MODELS,
        ),
    ],
    assistant: Assistant = None,
    lookahead: LookaheadOption = "auto",
    tree: TreeOption = 0,
    lookup: LookUp = None,
    texts: Texts = None,
    do_sample: DoSample = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
    repetition_penalty: RepetitionPenalty = None,
    engine: Engine = "auto",
    compile: Compile = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object in place of the text.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats",
            help="Also print counts and speed, on a line of standard error.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    report: Report = None,
    loading: Loading,
) -> None:
    """Continue a prompt, and print the text as it is decoded."""
    options = generation_options(
        do_sample=do_sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        stop_strings=stop or None,
    )
    check_text("--system", system)
    loading.check_assistant(assistant)
    be_quiet()
    check_report(report)
    from uag.models.conditions import conditions

    text = read_text(prompt, prompt_file)
    decoder = loading.decoder(
        target,
        assistant,
        lookahead=lookahead,
        tree=tree,
        lookup=lookup,
        texts=texts,
        engine=engine,
        compile=compile,
    )
    said = as_prompt(decoder, text, system, chat=chat)
    if said is text:
        tell_hints([chat_hint(decoder, target)])
    stream = decoder.stream(said, trace=report is not None, **options)
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
        tell(out.stats.summary())
    write_report(report, [out])


def _print_text(stream: "TextStream") -> None:
    try:
        for piece in stream:
            sys.stdout.write(printable(piece) if sys.stdout.isatty() else piece)
            sys.stdout.flush()
    finally:
        sys.stdout.write("\n")  # also after Ctrl-C, so that the shell's prompt has its own line
