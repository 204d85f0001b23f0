"""Output to a terminal: without control characters, one line for a warning, a progress bar."""

import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import NoReturn, TextIO

from uag.errors import UagWarning

# Categories of control characters, and of lone surrogates, which cannot be encoded (file names may
# contain them).
COMMANDING = ("Cc", "Cs")
# Characters that change the direction of text, so that it can be misread: embeddings, overrides and
# isolates. Right-to-left scripts do not need them.
TURNING = {*map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))}
# The status of a shell command that Ctrl-C ended.
INTERRUPTED = 130


def printable(text: str) -> str:
    r"""The text with U+FFFD for characters that control the terminal or reverse the text.

    >>> printable("a\x1b[2J") == "a\ufffd[2J"
    True
    """
    return "".join("\ufffd" if _commands(character) else character for character in text)


def one_line(text: str) -> str:
    r"""The text as `printable` has it, on one line.

    >>> one_line("first\nsecond")
    'first second'
    """
    return " ".join(printable(text).split())


def _commands(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in TURNING or unicodedata.category(character) in COMMANDING


def tell(message: str) -> None:
    """Print a message on one line of standard error; if that is full, go on without."""
    try:
        print(f"uag: {one_line(message)}", file=sys.stderr)
    except OSError:
        drop(sys.stderr)


def fail(message: str) -> NoReturn:
    """Print a message as `tell` does, and exit with status 1."""
    tell(message)
    sys.exit(1)


def tell_hints(hints: Iterable[str]) -> None:
    """Print each hint on a line of standard error; empty ones are none."""
    for hint in filter(None, hints):
        tell(f"hint: {hint}")


def settle(stream: TextIO) -> None:
    """Write what a stream still holds, or forget it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        drop(stream)


def drop(stream: TextIO) -> None:
    """Forget what a stream could not write, so that Python does not try again when it ends."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())


def be_quiet() -> None:
    """Show no warnings but uag's own, on one line each, and no progress bars of transformers."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UagWarning)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        tell(f"warning: {message}")

    warnings.showwarning = show


def show_progress() -> None:
    """Show the bars of downloads and weights, if standard error is a terminal."""
    import transformers

    if sys.stderr.isatty():
        transformers.logging.enable_progress_bar()


@contextmanager
def progress_bar(doing: str = "timing") -> Generator[Callable[[int, int], None]]:
    """A progress bar, shown only on a terminal; yields a function of (steps done, all steps)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
