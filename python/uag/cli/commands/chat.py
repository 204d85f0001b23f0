"""`uag chat`: a conversation in the terminal."""

from typing import Annotated

import typer

from uag.cli.help import MODELS, OUTPUT, TEXT
from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Assistant,
    Compile,
    DoSample,
    Engine,
    LookaheadOption,
    LookUp,
    MinP,
    RepetitionPenalty,
    Seed,
    Temperature,
    Texts,
    TopK,
    TopP,
    TreeOption,
    check_text,
    generation_options,
)
from uag.cli.terminal import be_quiet
from uag.errors import PromptError

EXAMPLES = """Examples:

    uag chat google/gemma-2-9b-it --assistant double7/vicuna-68m

    uag chat ./target --system "Be brief." --temperature 0.7

    printf 'Who are you?\\nSince when?\\n' | uag chat ./target
"""


@loads_weights
def chat(
    target: Annotated[
        str,
        typer.Argument(
            help="Hub name or folder of the model that replies.",
            metavar="NAME",
            rich_help_panel=MODELS,
        ),
    ],
    assistant: Assistant = None,
    *,
    system: Annotated[
        str | None,
        typer.Option(
            help="What the system says before the user.", metavar="TEXT", rich_help_panel=TEXT
        ),
    ] = None,
    max_new_tokens: Annotated[
        int,
        typer.Option(
            "--max-new-tokens",
            "-n",
            min=1,
            help="Reply with at most this many tokens.",
            metavar="NUMBER",
            rich_help_panel=TEXT,
        ),
    ] = 1024,
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
    drafts: Annotated[
        bool,
        typer.Option(
            "--drafts",
            help="Mark what the assistant drafted and the target accepted.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    loading: Loading,
) -> None:
    """Talk with a model. Each reply reads only what is new; /help lists what can be done."""
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
    from uag.cli.conversation import Conversation, typed_lines
    from uag.translation.chat_template import template_of

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
    if template_of(decoder.tokenizer) is None:
        raise PromptError(
            f"{target} has no chat template, so it cannot chat: name a model that was trained for "
            "chats, or continue a text with uag generate"
        )
    Conversation(decoder, system, options, marks=drafts).run(typed_lines())
