"""The `uag` command: prints tables, or JSON for programs, and errors on one line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from uag.cli.commands import (
    chat,
    check_tokenizers,
    compare,
    demo,
    generate,
    inspect,
    plot,
    sample_texts,
    serve,
)
from uag.cli.help import Command, Commands
from uag.cli.terminal import INTERRUPTED, drop, fail, settle
from uag.errors import UagError

app = typer.Typer(
    cls=Commands,
    help="Speculative decoding between models with different tokenizers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Try first, as it needs no download: uag demo",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exits with 0 for success, 1 for a failure, 2 for wrong usage."""
    if sys.stderr is None:  # closed (`2>&-`); what is printed there would be on standard output
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
    if sys.stdout is None:  # closed (`>&-`)
        fail("standard output is closed")
    try:
        try:
            app(args=None if arguments is None else list(arguments), prog_name="uag")
        finally:
            sys.stdout.flush()
    except UagError as error:
        fail(str(error))
    except KeyboardInterrupt:  # outside of a command, whose own typer reports
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`), so a message would reach nobody.
        drop(sys.stdout)
        sys.exit(1)
    except OSError as error:  # a full disk, most likely; what a user names is a `FileError`
        drop(sys.stdout)
        fail(f"cannot write the output: {error.strerror or error}")
    finally:
        settle(sys.stderr)
    sys.exit(0)


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


for command, examples in (
    (generate.generate, generate.EXAMPLES),
    (chat.chat, chat.EXAMPLES),
    (demo.demo, demo.EXAMPLES),
    (compare.compare, compare.EXAMPLES),
    (serve.serve, serve.EXAMPLES),
    (inspect.inspect, inspect.EXAMPLES),
    (sample_texts.sample_texts, sample_texts.EXAMPLES),
    (plot.plot, plot.EXAMPLES),
    (check_tokenizers.check_tokenizers, check_tokenizers.EXAMPLES),
):
    app.command(cls=Command, epilog=examples)(command)
