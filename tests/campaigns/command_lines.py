"""Every command and option of `uag`, with values and streams of every kind: it runs, or says why.

    python -m tests.campaigns.command_lines
    python -m tests.campaigns.command_lines --only report --only text

Commands and options are those that the application has. Each trial is a process of its own, forked
from one that has imported everything. A trial that goes on for long, as one of a million runs, is
interrupted as Ctrl-C does.
"""

import json
import os
import re
import resource
import signal
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

import uag
import uag.cli
from tests.support.commands import COMMANDS, options_of
from tests.support.files import printed

LONG, STUCK = 6.0, 30.0  # seconds
# A server runs until it is interrupted.
LONG_OF = {"serve": 1.5}
MEMORY = 2 * 2**30  # of addresses, beyond what a process has when it begins
DEMO = Path(uag.__file__).parent / "demo_pair"

# What makes a command short, by its options; required options of others are "x".
SHORT: dict[str, dict[str, list[str]]] = {
    "generate": {
        "prompt": ["Once"],
        "target": [str(DEMO / "target")],
        "assistant": [str(DEMO / "assistant")],
        "max_new_tokens": ["2"],
    },
    "chat": {"target": ["chatty"], "assistant": ["lookup"], "max_new_tokens": ["2"]},
    "demo": {"max_new_tokens": ["2"], "runs": ["1"]},
    "compare": {"max_new_tokens": ["2"], "runs": ["1"], "limit": ["1"]},
    "inspect": {
        "target": [str(DEMO / "target")],
        "assistants": [str(DEMO / "assistant")],
        "text": [str(DEMO / "README.md")],
    },
    "plot": {"results": ["RESULTS"], "out": ["plot.svg"]},
    "sample-texts": {
        "target": [str(DEMO / "target")],
        "prompts": ["text.txt"],
        "max_new_tokens": ["2"],
        "out": ["new.jsonl"],
    },
    "check-tokenizers": {"folder": [str(DEMO / "target")], "size": ["50"]},
}

TEXTS = [
    "", " ", "-", "--", "x", "0", "-1", "1.5", "nan", "inf", "-inf", "1e400", "9" * 30, "1_0",
    "0x10", "auto", "lookup", "None", "é🙂", "\udcff", "a\x1b[2J\x07b", "two\nlines", "\u202egnp",
    "a=b", "[bold]x[/]", "{x}", "%s", "x" * 5000, "a/b/c", "https://x.y/z", "~no-such/x", "C:\\x",
]  # fmt: skip

CLOSED, FULL, BROKEN, BYTES = "closed", "full", "broken", "bytes"
STREAMS = [
    {}, {0: CLOSED}, {1: CLOSED}, {2: CLOSED}, {0: CLOSED, 1: CLOSED, 2: CLOSED},
    {1: FULL}, {2: FULL}, {1: FULL, 2: FULL}, {1: BROKEN}, {2: BROKEN}, {0: BYTES},
]  # fmt: skip


def fill(root: Path) -> None:
    """Put files of all kinds into a folder."""
    (root / "bytes").write_bytes(Random(0).randbytes(3000))
    for suffix in ("json", "jsonl", "txt", "txt.gz", "txt.xz"):
        (root / f"bytes.{suffix}").write_bytes(Random(suffix).randbytes(3000))
        (root / f"empty.{suffix}").write_bytes(b"")
        (root / f"folder.{suffix}").mkdir()
    (root / "text.txt").write_text("Once upon a time\n")
    (root / "deep.json").write_text("[" * 100_000)
    (root / "null.json").write_text("null")
    (root / "prompts.jsonl").write_text('{"prompt": 5}\n')
    (root / "RESULTS").write_text(json.dumps(printed()) + "\n")
    (root / "locked.txt").write_text("no")
    (root / "locked.txt").chmod(0)
    (root / "loop.txt").symlink_to("loop.txt")
    (root / "gone.txt").symlink_to("nowhere")
    (root / "link.txt").symlink_to("text.txt")
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("Once")
    chatty = root / "chatty"
    chatty.mkdir()
    for file in (DEMO / "target").iterdir():
        (chatty / file.name).symlink_to(file)
    (chatty / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    model = root / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_bytes(Random(name).randbytes(300))


@cache
def paths() -> list[str]:
    """Of files and folders where a trial runs, and of others."""
    with TemporaryDirectory() as root:
        fill(Path(root))
        own = sorted(path.name for path in Path(root).iterdir())
    return [*own, "no/such/file.txt", "/", "/dev/null", "/dev/full",
            "new.html", "new.svg", "no/new.html", "/proc/version", "/dev/null/x"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """A command line, what its streams are, and a signal that it gets after some seconds."""

    command: str
    given: dict[str, list[str]]
    streams: dict[int, str] = field(default_factory=dict[int, str])
    signal: int = 0
    after: float = 0.0

    def words(self) -> list[str]:
        """The command line."""
        shown = SHORT.get(self.command, {}) | self.given
        parameters = options_of(COMMANDS[self.command])
        words: list[str] = []
        last: list[str] = []
        for each in parameters:
            values = shown.get(each.name, ["x"] if each.required else None)
            if values is None:
                continue
            if each.param_type_name == "argument":
                last += values
            elif each.is_flag:
                words.append(values[0])
            else:
                words += [word for value in values for word in (each.opts[0], value)]
        return [self.command, *words, *(["--", *last] if last else [])]

    def __str__(self) -> str:
        ends = (
            f" {signal.Signals(self.signal).name} after {self.after:.2f} s" if self.signal else ""
        )
        return (
            f"uag {' '.join(f'{word!a:.80}' for word in self.words())} {self.streams or ''}{ends}"
        )


class Outcome(NamedTuple):
    """How a trial ended: its status (negative for a signal), and what it wrote."""

    status: int
    out: str
    err: str
    interrupted: bool


def values_of(option: Any) -> list[str]:
    """What an option may be given: its own names if it has no value."""
    if getattr(option, "is_flag", False):
        return [*option.opts, *option.secondary_opts]
    return [*TEXTS, *paths()]


def trials() -> Iterator[Trial]:
    """Every option of every command with each value, and every command with each kind of stream."""
    for name, command in COMMANDS.items():
        for option in options_of(command):
            for value in values_of(option):
                yield Trial(name, {option.name: [value]})
        for streams in STREAMS:
            yield Trial(name, {}, streams)
            yield Trial(
                name, {"prompt": ["-"]} if name == "generate" else {"help": ["-h"]}, streams
            )
            yield Trial(name, {"as_json": ["--json"]}, streams)
            yield Trial(name, {"no_such": []}, streams)


def mixed(random: Random) -> Trial:
    """Several options at once, with streams and signals of any kind."""
    name = random.choice([*COMMANDS])
    options = random.sample(options_of(COMMANDS[name]), random.randrange(4))
    given = {option.name: [random.choice(values_of(option))] for option in options}
    sent = random.choice([0, 0, signal.SIGINT, signal.SIGTERM])
    return Trial(name, given, random.choice(STREAMS), sent, random.expovariate(3))


def outcome(trial: Trial) -> Outcome:
    """Run a command line in a process of its own."""
    sys.stdout.flush()
    with TemporaryDirectory() as room, TemporaryDirectory() as written:
        fill(Path(room))
        out, err = Path(written, "out"), Path(written, "err")
        out.touch()
        err.touch()
        begins, begun = os.pipe()
        child = os.fork()
        if child == 0:
            _run(trial, Path(room), (out, err), begun)
        os.close(begun)
        os.read(begins, 1)  # no signal reaches what comes before
        os.close(begins)
        status, interrupted = _wait(child, trial)
        texts = (each.read_bytes().decode(errors="surrogateescape") for each in (out, err))
        return Outcome(os.waitstatus_to_exitcode(status), *texts, interrupted)


def _wait(child: int, trial: Trial) -> tuple[int, bool]:
    """The status of a child, after the signal of its trial; whether it had to be interrupted."""
    started, interrupted, sent = time.monotonic(), False, not trial.signal
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status, interrupted
        spent = time.monotonic() - started
        if not sent and spent > trial.after:
            os.kill(child, trial.signal)
            sent = True
        elif spent > LONG_OF.get(trial.command, LONG) and not interrupted:
            os.kill(child, signal.SIGINT)
            interrupted = True
        elif spent > STUCK:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


def _run(trial: Trial, room: Path, written: tuple[Path, Path], begun: int) -> None:
    """What the child does; never returns."""
    status = 70
    try:
        os.environ |= {"TOKENIZERS_PARALLELISM": "false", "COLUMNS": "80"}
        limit = _addresses() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os.chdir(room)
        for place, path in enumerate((Path("text.txt"), *written)):
            _stream(place, trial.streams.get(place, ""), path)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.write(begun, b".")
        uag.cli.main(trial.words())
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        import traceback

        if sys.stderr is not None:
            traceback.print_exc()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        _flush()
        os._exit(status)


def _flush() -> None:
    for each in (sys.stdout, sys.stderr):
        try:
            if each is not None and not each.closed:
                each.flush()
        except OSError:
            os._exit(120)  # as the interpreter does, which then also writes on standard error


def _addresses() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _stream(place: int, kind: str, path: Path) -> None:
    """Give a process one of its standard streams, as Python has them when it begins."""
    name = ("stdin", "stdout", "stderr")[place]
    if kind == CLOSED:
        os.close(place)
        setattr(sys, name, None)
        return
    if kind == BROKEN:
        read, handle = os.pipe()
        os.close(read)
    else:
        path = {FULL: Path("/dev/full"), BYTES: Path("bytes")}.get(kind, path)
        handle = os.open(path, os.O_RDWR if place else os.O_RDONLY)
    os.dup2(handle, place)
    os.close(handle)
    stream = os.fdopen(place, "w" if place else "r", closefd=False, encoding="utf-8")
    if place == 2:
        stream.reconfigure(errors="backslashreplace", line_buffering=True)
    setattr(sys, name, stream)


def faults(trial: Trial, found: Outcome) -> Iterator[str]:
    """What is wrong with an outcome, each in a few words."""
    status, out, err, interrupted = found
    signalled = interrupted or bool(trial.signal)
    if status not in {0, 1, 2} | ({130, -trial.signal} if signalled else set()):
        yield f"status {status}"
    if "Traceback" in err or "Exception ignored" in err:
        yield "a traceback"
    elif controls := {one for one in err if unicodedata.category(one) in ("Cc", "Cs")} - {"\n"}:
        yield f"controls on standard error: {controls}"
    elif any(line.startswith("uag: ") for line in out.splitlines()):
        yield "a message in the output"
    elif not (signalled or trial.streams):
        yield from _of_usage(trial, err) if status == 2 else _of_lines(trial, status, err)


def _of_usage(trial: Trial, err: str) -> Iterator[str]:
    if "─ Error ─" not in err or not names(trial, err):
        yield "wrong usage without a box that names the value"


def _of_lines(trial: Trial, status: int, err: str) -> Iterator[str]:
    mistakes = [line for line in err.splitlines() if not NOTE.match(line)]
    # A tokenizer that differs, or cannot be read, is a row of its table.
    expected = 0 if status == 0 or (trial.command == "check-tokenizers" and not mistakes) else 1
    if len(mistakes) != expected:
        yield f"{len(mistakes)} lines that say what is wrong"
    for line in mistakes:
        if not line.startswith("uag: "):
            yield f"a stray line: {line:.80}"
        if not names(trial, line):
            yield "a line that does not name the value"


# Lines of standard error that say nothing wrong.
NOTE = re.compile(
    r"uag: (loading the|warning:|hint:|not in the plot:|the plot is in|every round|\d+ tokens in"
    r"|\d+ texts are in) "
)


def names(trial: Trial, said: str) -> bool:
    """Whether a message names an option that was given, or its value."""
    bare = re.sub(r"[^\w]", "", said)
    for option in options_of(COMMANDS[trial.command]):
        for value in trial.given.get(option.name, ()):
            words = (option.name, *option.opts, value, repr(value))
            if any(re.sub(r"[^\w]", "", word)[:40] in bare for word in words):
                return True
    return not trial.given


def main(
    only: Annotated[list[str] | None, typer.Option(help="options; by default all")] = None,
    sample: Annotated[int | None, typer.Option(help="how many, by chance; by default all")] = None,
    mixtures: Annotated[int, typer.Option(help="trials of several options at once")] = 1000,
    seed: int = 0,
) -> None:
    """Try every option with every value, then mixtures, and print what came out."""
    ready()
    console, started = Console(width=200), time.monotonic()
    random = Random(seed)
    counts: dict[str, Counter[str]] = {}
    chosen = [each for each in trials() if not only or {*each.given} & {*only}]
    for trial in (
        *random.sample(chosen, len(chosen) if sample is None else sample),
        *(mixed(random) for _ in range(0 if only else mixtures)),
    ):
        found = outcome(trial)
        wrong = "; ".join(faults(trial, found))
        counts.setdefault(trial.command, Counter())["fault" if wrong else str(found.status)] += 1
        if wrong:
            console.print(f"{trial}: {wrong}\n{found.err[-600:]}", markup=False, highlight=False)
    kinds = sorted({kind for each in counts.values() for kind in each})
    table = Table("command", "trials", *kinds)
    for command, each in counts.items():
        table.add_row(command, f"{each.total():,}", *(f"{each[kind]:,}" for kind in kinds))
    console.print(table)
    failed = sum(each["fault"] for each in counts.values())
    console.print(f"{failed} faults, {time.monotonic() - started:.0f} s")
    if failed:
        raise typer.Exit(1)


def ready() -> None:
    """Import what commands import, so that each child has it."""
    import matplotlib.pyplot  # noqa: F401, ICN001
    import torch

    import uag.benchmark.compare
    import uag.conformance.laws
    import uag.conformance.texts
    import uag.demo
    import uag.inspection.inspect
    import uag.report.page
    import uag.report.pair_tables
    import uag.report.plots

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)
    uag.demo.demo_decoder().generate("Once", max_new_tokens=2)


if __name__ == "__main__":
    typer.run(main)
