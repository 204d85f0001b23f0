"""`uag serve`: answers OpenAI's clients over HTTP."""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from uag.cli import torchrun
from uag.cli.help import DRAFTING, MODELS
from uag.cli.loading import Loading, loads_weights
from uag.cli.options import (
    Assistant,
    Compile,
    Conflict,
    Engine,
    LookaheadOption,
    LookUp,
    Texts,
    TreeOption,
)
from uag.cli.terminal import be_quiet, tell
from uag.errors import LoadError, UagWarning

# What the extra `serve` installs and this command cannot do without.
NEEDED = ("starlette", "uvicorn", "prometheus_client", "llguidance")
VISIBLE = re.compile(r"[\x21-\x7e]+")
OWN_MACHINE = ("127.0.0.1", "::1", "localhost")
# Seconds for which a thread keeps the interpreter: texts and answers share it.
SWITCH = 0.0005
MIB = 2**20
# Groups of options in its help.
REACHED, ALLOWED = "Who may ask", "Limits"
EXAMPLES = """Examples:

    uag serve

    uag serve ./target --assistant ./assistant --device-map cuda

    UAG_API_KEY=secret uag serve ./target --assistant lookup --host 0.0.0.0 --port 80
"""


@loads_weights
def serve(
    target: Annotated[
        str | None,
        typer.Argument(
            help="Hub name or folder of the model that writes. By default the demo pair's.",
            metavar="NAME",
            rich_help_panel=MODELS,
        ),
    ] = None,
    assistant: Assistant = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What clients call the model. By default its own name.",
            metavar="NAME",
            rich_help_panel=MODELS,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. 0.0.0.0 is all of this machine's.",
            metavar="ADDRESS",
            rich_help_panel=REACHED,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on. 0 is any free one.",
            metavar="NUMBER",
            rich_help_panel=REACHED,
        ),
    ] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="UAG_API_KEY",
            help="Key that clients must send. May be repeated.",
            metavar="KEY",
            rich_help_panel=REACHED,
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            help="Decode at most this many texts at the same time.",
            metavar="NUMBER",
            rich_help_panel=ALLOWED,
        ),
    ] = 16,
    max_queued: Annotated[
        int,
        typer.Option(
            min=0,
            help="Let at most this many texts wait for that.",
            metavar="NUMBER",
            rich_help_panel=ALLOWED,
        ),
    ] = 64,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Write at most this many new tokens for a text. By default what the window holds.",
            metavar="NUMBER",
            rich_help_panel=ALLOWED,
        ),
    ] = None,
    max_body: Annotated[
        int,
        typer.Option(
            min=1,
            help="Read at most this many bytes of a request.",
            metavar="BYTES",
            rich_help_panel=ALLOWED,
        ),
    ] = MIB,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Memory for the KV caches of both models. By default 60 % of what is free.",
            metavar="MIB",
            rich_help_panel=ALLOWED,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0,
            help="End a request after this long, waiting included.",
            metavar="SECONDS",
            rich_help_panel=ALLOWED,
        ),
    ] = 600.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            help="Let texts end for this long after a signal to stop.",
            metavar="SECONDS",
            rich_help_panel=ALLOWED,
        ),
    ] = 30.0,
    lookahead: LookaheadOption = "auto",
    tree: TreeOption = 0,
    lookup: LookUp = None,
    texts: Texts = None,
    remember: Annotated[
        int,
        typer.Option(
            min=0,
            help="Copy drafts from earlier replies to the same key too, of this size in all.",
            metavar="MIB",
            rich_help_panel=DRAFTING,
        ),
    ] = 0,
    engine: Engine = "auto",
    compile: Compile = False,
    *,
    loading: Loading,
) -> None:
    """Serve a model to OpenAI's clients over HTTP, and a page to chat with it."""
    if target is None and assistant is not None:
        raise Conflict("--assistant, but no target: give both, or neither")
    if tree and batch_size > 1:
        raise Conflict(
            "--tree, but texts that share passes have chains: give --batch-size 1, or leave it out"
        )
    keys = tuple(key for key in api_key or () if key)
    _check_keys(keys)
    _check_extra()
    be_quiet()
    warnings.filterwarnings("ignore", message="the target's window is")  # 400, or a shorter text
    from uag.serving.api.settings import Settings
    from uag.serving.engine import ServingEngine
    from uag.serving.server import address_of, bound
    from uag.serving.server import serve as run

    if torchrun.is_shared():
        loading = torchrun.shared(loading, target)
    # The port first: loading takes a while.
    with bound(host, port) if torchrun.leads() else nullcontext() as listening:
        address = address_of(listening) if listening else ""
        if listening and host not in OWN_MACHINE and not keys:
            warnings.warn(
                f"anybody who reaches {address} may use the model: give --api-key, or keep "
                "--host 127.0.0.1",
                UagWarning,
                stacklevel=1,
            )
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
        if torchrun.is_shared():
            torchrun.check_shared(decoder)
        sys.setswitchinterval(SWITCH)
        bytes = None if memory is None else memory * MIB
        serving = ServingEngine(
            decoder,
            batch_size=batch_size,
            max_queued=max_queued,
            memory=bytes,
            remember=remember * MIB,
        )
        settings = Settings(
            name=name or _name(target),
            keys=keys,
            hosts=OWN_MACHINE if host in OWN_MACHINE and not keys else (),
            most_bytes=max_body,
            most_texts=batch_size + max_queued,
            most_tokens=max_tokens,
            timeout=timeout,
        )
        if listening:
            serving.start()
            said = partial(tell, f"serving {settings.name} at {address}")
            status = run(serving, settings, listening, grace=grace, ready=said)
        else:
            status = torchrun.follow(serving)
    if status:
        raise typer.Exit(status)


def _check_keys(keys: Sequence[str]) -> None:
    """Refuse keys that no header of HTTP can carry; they are not shown."""
    if not all(VISIBLE.fullmatch(key) for key in keys):
        raise Conflict(
            "--api-key (UAG_API_KEY) has spaces or characters beyond ASCII: take letters, digits "
            "and punctuation"
        )


def _check_extra() -> None:
    missing = [each for each in NEEDED if find_spec(each) is None]
    if missing:
        raise LoadError(f"uag serve needs {', '.join(missing)}: pip install 'uag-decoding[serve]'")


def _name(target: str | None) -> str:
    """The hub name, or the name of the folder."""
    if target is None:
        return "demo"
    return Path(target).resolve().name if os.path.isdir(target) else target  # noqa: PTH112 # text
