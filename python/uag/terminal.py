"""What goes to a terminal: no control characters or foreign warnings, a bar where it takes long."""

import sys
import unicodedata
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager

from uag.errors import UagWarning


def printable(text: str) -> str:
    """The text without characters that would command the terminal."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) != "Cc" else "\ufffd"
        for character in text
    )


def be_quiet() -> None:
    """Only our own warnings, a line each; no progress bars between the lines of output."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UagWarning)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"uag: warning: {message}", file=sys.stderr)

    warnings.showwarning = show


@contextmanager
def progress_bar() -> Generator[Callable[[int, int], None]]:
    """A function to call with what is done and what there is to do; shown if somebody watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("timing")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
