"""What goes to a terminal: no control characters or foreign warnings, a bar where it takes long."""

import sys
import unicodedata
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn

from uag.errors import UagWarning

# Controls; halves of surrogate pairs, which can't be written (a file name may have them).
COMMANDING = ("Cc", "Cs")
# What has text run the other way, so that it reads as something else: embeddings, overrides and
# isolates. Scripts that run that way need none of them.
TURNING = {*map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))}


def printable(text: str) -> str:
    r"""The text without characters that would command the terminal or mislead its reader.

    >>> printable("a\x1b[2J") == "a\ufffd[2J"
    True
    """
    return "".join("\ufffd" if _commands(character) else character for character in text)


def one_line(text: str) -> str:
    """The same for a message."""
    return " ".join(printable(text).split())


def _commands(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in TURNING or unicodedata.category(character) in COMMANDING


def fail(message: str) -> NoReturn:
    """End the program with a line on standard error and exit status 1."""
    print(f"uag: {one_line(message)}", file=sys.stderr)
    sys.exit(1)


def be_quiet() -> None:
    """Only our own warnings, a line each; no progress bars between the lines of output."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UagWarning)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"uag: warning: {one_line(str(message))}", file=sys.stderr)

    warnings.showwarning = show


@contextmanager
def progress_bar(doing: str = "timing") -> Generator[Callable[[int, int], None]]:
    """A function to call with what is done and what there is to do; shown if somebody watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
