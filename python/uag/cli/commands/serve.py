"""`uag serve`: answers OpenAI's clients over HTTP."""

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.loading import Loading, loads_weights
from uag.cli.options import Compile, Engine, LookaheadOption, LookUp, Texts, lookup_option
from uag.cli.terminal import be_quiet, printable
from uag.errors import LoadError, UagWarning

if TYPE_CHECKING:
    from uag.decoder import SpeculativeDecoder

# What the extra `serve` installs and this command cannot do without.
NEEDED = ("starlette", "uvicorn", "prometheus_client", "llguidance")
OWN_MACHINE = ("127.0.0.1", "::1", "localhost")
# Seconds for which a thread keeps the interpreter: texts and answers share it.
SWITCH = 0.0005
MIB = 2**20
EXAMPLES = """Examples:

    uag serve

    uag serve google/gemma-2-9b-it --assistant double7/vicuna-68m --device-map cuda --dtype bfloat16

    UAG_API_KEY=secret uag serve ./target --assistant lookup --host 0.0.0.0 --port 80
"""


@loads_weights
def serve(
    target: Annotated[
        str | None,
        typer.Argument(help="Hub name or folder of the target; default: the demo pair."),
    ] = None,
    assistant: Annotated[
        str | None,
        typer.Option(help="Hub name or folder of the assistant; or 'lookup' to copy from texts."),
    ] = None,
    lookup: LookUp = None,
    texts: Texts = None,
    lookahead: LookaheadOption = "auto",
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")
    ] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="UAG_API_KEY",
            help="Key that clients must give; may be repeated.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model for clients; default: the target's.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Texts that are decoded at the same time, at most.")
    ] = 16,
    max_queued: Annotated[
        int, typer.Option(min=0, help="Texts that may wait for a place, at most.")
    ] = 64,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="New tokens of a text, at most; default: the window.")
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request's body, at most.")] = MIB,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1, help="MiB for the KV caches of both models; default: 60 % of the rest."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds for a request, waiting included.")
    ] = 600.0,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds for texts to end after a signal to stop.")
    ] = 30.0,
    engine: Engine = "auto",
    compile: Compile = False,
    *,
    loading: Loading,
) -> None:
    """Serve a model over HTTP to OpenAI's clients, and a page to chat with it."""
    if target is None and assistant is not None:
        raise typer.BadParameter("--assistant, but no target: give both, or neither")
    _check_extra()
    be_quiet()
    warnings.filterwarnings("ignore", message="the target's window is")  # 400, or a shorter text
    from uag.lookahead.schedules import parse_lookahead
    from uag.serving.api.settings import Settings
    from uag.serving.engine import ServingEngine
    from uag.serving.server import address_of, bound
    from uag.serving.server import serve as run

    # The port first: loading takes a while.
    with bound(host, port) as listening:
        address = address_of(listening)
        keys = tuple(key for key in api_key or () if key)
        if host not in OWN_MACHINE and not keys:
            warnings.warn(
                f"anybody who reaches {address} may use the model: give --api-key, or keep "
                "--host 127.0.0.1",
                UagWarning,
                stacklevel=1,
            )
        decoder = _decoder(
            target,
            assistant,
            loading,
            lookahead=parse_lookahead(lookahead),
            lookup=lookup_option(assistant, lookup, texts),
            engine=engine,
            compile=compile,
        )
        sys.setswitchinterval(SWITCH)
        bytes = None if memory is None else memory * MIB
        serving = ServingEngine(decoder, batch_size=batch_size, max_queued=max_queued, memory=bytes)
        settings = Settings(
            name=name or _name(target),
            keys=keys,
            most_bytes=max_body,
            most_texts=batch_size + max_queued,
            most_tokens=max_tokens,
            timeout=timeout,
        )
        serving.start()

        def ready() -> None:
            told = f"uag: serving {printable(settings.name)} at {address}"
            print(told, file=sys.stderr, flush=True)

        status = run(serving, settings, listening, grace=grace, ready=ready)
    if status:
        raise typer.Exit(status)


def _check_extra() -> None:
    missing = [each for each in NEEDED if find_spec(each) is None]
    if missing:
        raise LoadError(f"uag serve needs {', '.join(missing)}: pip install 'uag-decoding[serve]'")


def _decoder(
    target: str | None, assistant: str | None, loading: Loading, **options: Any
) -> "SpeculativeDecoder":
    if target is not None:
        return loading.decoder(target, assistant, **options)
    from uag.demo import demo_decoder

    return demo_decoder(**options, **loading.options)


def _name(target: str | None) -> str:
    """The hub name, or the name of the folder."""
    if target is None:
        return "demo"
    return Path(target).resolve().name if os.path.isdir(target) else target  # noqa: PTH112 # text
