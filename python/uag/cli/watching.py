"""What is shown of long work while it runs: a bar, for a comparison its table, or lines."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uag.cli.terminal import progress_bar

if TYPE_CHECKING:
    from rich.console import Console

    from uag.benchmark.timing import Timing

# Who waits for less need not be told.
WORTH_TELLING = 10.0  # seconds
TENTHS = 10
# Up to here a time is told in seconds, or in minutes.
MOST = 95


@contextmanager
def watched(timing: "Timing") -> Generator[Callable[[], None]]:
    """Shows on standard error how far a comparison is; yields what to call after each run.

    On a terminal that is the table as it fills, and a bar with the time that is left. Elsewhere it
    is a line after the first run of each method and at each tenth of the runs, if ten seconds or
    more are left.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _table(timing, console) as show:
            yield show
    else:
        yield lambda: _line(timing)


@contextmanager
def following(doing: str, what: str, done: int, total: int) -> Generator[Callable[[], None]]:
    """Shows on standard error how much is done; yields what to call after each of `total`.

    On a terminal that is a bar, elsewhere a line at each tenth if ten seconds or more are left.
    `done` are there already.
    """
    began, first = time.monotonic(), done
    terminal = sys.stderr.isatty()

    with progress_bar(doing) as bar:

        def show() -> None:
            nonlocal done
            done += 1
            bar(done, total)
            left = (time.monotonic() - began) / (done - first) * (total - done)
            tenth = done * TENTHS // total > (done - 1) * TENTHS // total
            if not terminal and tenth and left >= WORTH_TELLING:
                print(f"uag: {done:,} of {total:,} {what}, {time_left(left)} left", file=sys.stderr)

        yield show


def time_left(seconds: float) -> str:
    """A time in words, no more exact than an estimate is.

    >>> time_left(42), time_left(130), time_left(9000)
    ('about 40 s', 'about 2 min', 'about 2.5 h')
    """
    if seconds < MOST:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    if seconds < MOST * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _line(timing: "Timing") -> None:
    done, total, left = timing.done, timing.total, timing.seconds_left()
    tenth = done * TENTHS // total > (done - 1) * TENTHS // total
    if left is not None and left >= WORTH_TELLING and (tenth or timing.just_warmed_up):
        print(f"uag: {done} of {total} runs, {time_left(left)} left", file=sys.stderr)


@contextmanager
def _table(timing: "Timing", console: "Console") -> Generator[Callable[[], None]]:
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from uag.report.tables import MethodsTable, rows_of

    bar = Progress(
        TextColumn("timing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs{task.description}"),
        console=console,
    )
    task = bar.add_task("", total=timing.total)
    table = MethodsTable(rows_of(timing.comparison()))
    # Without a thread that draws in the middle of a timed run.
    with Live(Group(table, bar), console=console, auto_refresh=False, transient=True) as live:

        def show() -> None:
            nonlocal table
            left = timing.seconds_left()
            told = "" if left is None else f", {time_left(left)} left"
            bar.update(task, completed=timing.done, description=told)
            if timing.at_a_prompts_end:
                table = MethodsTable(rows_of(timing.comparison()))
            live.update(Group(table, bar), refresh=True)

        yield show
