"""The `uag` command: prints tables, or JSON for programs, and errors on one line."""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from uag.cli.commands import check_tokenizers, compare, demo, generate, inspect, plot, serve
from uag.cli.terminal import drop_output, fail
from uag.errors import UagError

app = typer.Typer(
    help="Speculative decoding between models with different tokenizers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Try [bold]uag demo[/bold] first: it needs no download.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exits with status 0 for success, 1 for a failure, 2 for wrong usage."""
    if sys.stdout is None:  # closed (`>&-`)
        fail("standard output is closed")
    try:
        try:
            app(args=None if arguments is None else list(arguments))
        finally:
            sys.stdout.flush()
    except UagError as error:
        fail(str(error))
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`), so a message would reach nobody.
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # a full disk, most likely; what a user names is a `FileError`
        drop_output()
        fail(f"cannot write the output: {error.strerror or error}")
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
    (demo.demo, demo.EXAMPLES),
    (compare.compare, compare.EXAMPLES),
    (serve.serve, serve.EXAMPLES),
    (inspect.inspect, inspect.EXAMPLES),
    (plot.plot, plot.EXAMPLES),
    (check_tokenizers.check_tokenizers, check_tokenizers.EXAMPLES),
):
    app.command(epilog=examples)(command)
