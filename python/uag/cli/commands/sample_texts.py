"""`uag sample-texts`: texts that a target writes, for a trainer that teaches an assistant."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.help import MODELS, OUTPUT, RUNNING, TEXT
from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Assistant,
    Compile,
    Conflict,
    DoSample,
    Engine,
    Length,
    LookaheadOption,
    MinP,
    RepetitionPenalty,
    Seed,
    System,
    Temperature,
    TopK,
    TopP,
    check_text,
    generation_options,
)
from uag.cli.reading import as_prompt
from uag.cli.terminal import INTERRUPTED, be_quiet, tell
from uag.cli.watching import following

if TYPE_CHECKING:
    from uag.decoder import SpeculativeDecoder
    from uag.teaching.texts_file import Prompts

# All are planned before the first is written.
MOST_SAMPLES = 1000
MOST_AT_ONCE = 4096
EXAMPLES = """Examples:

    uag sample-texts ./target --prompts prompts.txt --out texts.jsonl

    uag sample-texts ./target --prompts prompts.jsonl \\
        --temperature 0.7 --samples 4 --out texts.jsonl

    uag sample-texts ./target-it --prompts questions.txt --chat \\
        --assistant ./assistant-it --out chats.jsonl
"""


@loads_weights
def sample_texts(
    target: Annotated[
        str,
        typer.Argument(help="Hub name or folder of the model that writes.", rich_help_panel=MODELS),
    ],
    *,
    prompts: Annotated[
        Path,
        typer.Option(
            help="A file with prompts: .txt with one on each line, or .jsonl with a field prompt, "
            "turns or text.",
            metavar="FILE",
            rich_help_panel=TEXT,
        ),
    ],
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Read at most this many prompts.", metavar="NUMBER", rich_help_panel=TEXT
        ),
    ] = None,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Take each prompt as what a user says in a chat, and write the reply.",
            rich_help_panel=TEXT,
        ),
    ] = False,
    system: System = None,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_SAMPLES,
            help="Write this many texts after each prompt.",
            metavar="NUMBER",
            rich_help_panel=TEXT,
        ),
    ] = 1,
    max_new_tokens: Length = 256,
    assistant: Assistant = None,
    lookahead: LookaheadOption = "5",
    do_sample: DoSample = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
    repetition_penalty: RepetitionPenalty = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_AT_ONCE,
            help="Write this many texts at the same time.",
            metavar="NUMBER",
            rich_help_panel=RUNNING,
        ),
    ] = 32,
    engine: Engine = "auto",
    compile: Compile = False,
    out: Annotated[
        Path,
        typer.Option(
            help="The file for the texts, .jsonl. What is in it already is not written again.",
            metavar="FILE",
            rich_help_panel=OUTPUT,
        ),
    ],
    loading: Loading,
) -> None:
    """Write texts with a model, many at once, to teach an assistant with."""
    options = generation_options(
        do_sample=do_sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
    )
    check_text("--system", system)
    loading.check_assistant(assistant)
    be_quiet()
    from uag.benchmark.prompts import read_prompts
    from uag.teaching.sampling import written_texts
    from uag.teaching.texts_file import TextsFile, check_name
    from uag.translation.chat_template import template_of

    check_name(out)
    beginnings = [*dict.fromkeys(read_prompts(prompts, limit))]
    decoder = loading.decoder(
        target,
        assistant,
        lookahead=lookahead,
        # The assistant itself is to be judged.
        lookup=False if assistant not in (None, "lookup") else None,
        texts=None,
        engine=engine,
        compile=compile,
    )
    begun = [as_prompt(decoder, text, system, chat=chat) for text in beginnings]
    _seed(decoder, begun, options, samples)
    file = TextsFile(
        out,
        begun,
        _settings(options, samples, [target, assistant, lookahead, loading.options]),
        samples=samples,
        as_messages=template_of(decoder.assistant_tokenizer) is not None,
    )
    done = len(begun) - len(file.left)
    if done and file.left:
        tell(f"{done:,} of {len(begun):,} prompts have their texts in {out} already")
    try:
        with following("writing", "prompts", done, len(begun)) as show:
            texts = written_texts(
                decoder, file.left, options, samples=samples, batch_size=batch_size
            )
            for prompt, written in zip(file.left, texts, strict=True):
                file.add(prompt, written)
                show()
    except KeyboardInterrupt:
        tell(f"interrupted; the same command goes on with what {out} lacks")
        raise typer.Exit(INTERRUPTED) from None
    tell(f"{samples * len(begun):,} texts are in {out}")


def _seed(
    decoder: "SpeculativeDecoder", prompts: "Prompts", options: dict[str, Any], samples: int
) -> None:
    """Give the options a seed if tokens are sampled: without one, a text would not be made again.

    Raises:
        Conflict: for several samples of greedy decoding.
    """
    requests, _ = decoder.parts
    (request,) = requests.read(prompts[:1], options)
    if request.plan.sampling is not None:
        options.setdefault("seed", 0)
    elif samples > 1:
        raise Conflict(
            f"--samples {samples}, but greedy decoding writes the same text each time: give "
            "--temperature too"
        )


def _settings(options: dict[str, Any], samples: int, others: list[Any]) -> str:
    """A short name of what decides the texts, beside the prompts."""
    said = json.dumps([options, samples, others], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:8]
