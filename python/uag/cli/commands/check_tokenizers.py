r"""`uag check-tokenizers`: compares the core with `tokenizers` on random texts.

    uag check-tokenizers FOLDER --text TEXTS

Checks every tokenizer.json in a folder. Exit status 1 if there is a difference; each is shown with
a shortened text on which it occurs.
"""

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import tokenizers
import typer

from uag.cli.help import INPUT, OUTPUT
from uag.cli.terminal import be_quiet, one_line, printable, progress_bar
from uag.errors import FileError, UagWarning

if TYPE_CHECKING:
    from uag._core import Tokenizer
    from uag.conformance.laws import Tally

EXAMPLES = """Examples:

    uag check-tokenizers ./models

    uag check-tokenizers ./models --text ./corpus \\
        --text story.txt.xz --bytes 1_000_000

    uag check-tokenizers ./tokenizer.json --json \\
        | jq .tokenizers[].different
"""


@dataclass(frozen=True, slots=True)
class Row:
    """The result for one tokenizer.

    Attributes:
        tokenizer: the name of its file's folder.
        family: the kind of tokenizer, such as "byte-level BPE".
        fast: whether the core encodes texts incrementally.
        reason: why it does not; or why the tokenizer could not be compared.
        tally: what was compared; `None` if the tokenizer could not be compared.
        seconds: how long the comparison took.
    """

    tokenizer: str
    family: str
    fast: bool
    reason: str
    tally: "Tally | None"
    seconds: float

    @property
    def path(self) -> str:
        """How texts are encoded: "fast", "slow" or "not compared"."""
        if self.tally is None:
            return "not compared"
        return "fast" if self.fast else "slow"

    def as_dict(self) -> dict[str, Any]:
        """The result as a dict of JSON values."""
        counts: dict[str, Any] = {} if self.tally is None else asdict(self.tally)
        return {
            "tokenizer": self.tokenizer,
            "family": self.family,
            "path": self.path,
            "reason": self.reason,
            **counts,
            "seconds": round(self.seconds, 2),
        }


def check_tokenizers(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="A folder with files tokenizer.json at any depth, or one such file.",
            rich_help_panel=INPUT,
        ),
    ],
    text: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            help="A file or folder of texts to compare on. Of .json and .jsonl all strings are "
            "texts; .gz and .xz are unpacked. May be repeated. By default texts that come with the "
            "package.",
            metavar="PATH",
            rich_help_panel=INPUT,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            "--bytes",
            min=1,
            help="How much text each tokenizer reads.",
            metavar="NUMBER",
            rich_help_panel=INPUT,
        ),
    ] = 5_000_000,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of how texts are cut and joined.", metavar="NUMBER", rich_help_panel=INPUT
        ),
    ] = 0,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object in place of a table.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Compare the core with the installed tokenizers library, over tokenizers and texts."""
    be_quiet()
    from uag.conformance.texts import read_texts
    from uag.inspection.spelling import sample_texts

    files = _tokenizer_files(folder)
    documents = read_texts(text) if text else list(sample_texts().values())
    rows: list[Row] = []
    with progress_bar("comparing") as show:
        for file in files:
            show(len(rows), len(files))
            name = file.parent.resolve().name
            if folder not in (file.parent, file):
                name = str(file.parent.relative_to(folder))
            rows.append(_compared(name, file, documents, size, seed))
    if as_json:
        found = [row.as_dict() for row in rows]
        settings = {"version": tokenizers.__version__, "bytes": size, "seed": seed}
        print(json.dumps({**settings, "tokenizers": found}))
    else:
        _print(rows, size, seed)
    if any(row.tally is None or row.tally.different for row in rows):
        raise typer.Exit(1)


def _tokenizer_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("tokenizer.json")) if folder.is_dir() else [folder]
    if not files:
        raise FileError(
            f"no tokenizer.json in {folder}, nor in a folder in it; "
            "save_pretrained of a fast tokenizer writes one"
        )
    return files


def _compared(name: str, file: Path, documents: Sequence[str], size: int, seed: int) -> Row:
    from uag.conformance.laws import Laws
    from uag.conformance.texts import random_texts
    from uag.translation.core_tokenizer import core_tokenizer
    from uag.translation.tokenizers import is_failure

    started = time.perf_counter()
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
        with warnings.catch_warnings():
            # Its text is in `core.reason`, which is printed.
            warnings.simplefilter("ignore", UagWarning)
            core = core_tokenizer(tokenizer)
    except BaseException as error:
        if not is_failure(error):
            raise
        return Row(name, "", False, one_line(str(error)), None, 0.0)
    texts = random_texts(documents, size, f"{seed} {name}", _insertions(tokenizer, core))
    tally = Laws(core, tokenizer, seed).compare(texts)
    spent = time.perf_counter() - started
    return Row(name, core.family, core.fast, core.reason, tally, spent)


def _insertions(tokenizer: tokenizers.Tokenizer, core: "Tokenizer") -> list[str]:
    """Strings that may be difficult for a tokenizer: added tokens, other tokens, stress texts."""
    from uag.translation.self_check import STRESS_TEXTS

    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    random = Random(0)
    ids = [random.randrange(core.vocab_size) for _ in range(300)]
    own = ((core.token_bytes(id) or b"").decode(errors="ignore") for id in ids)
    often = added * (1 + len(ids) // max(1, len(added)))
    return [text for text in [*often, *STRESS_TEXTS, *own] if text]


def _print(rows: list[Row], size: int, seed: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    title = f"the core and tokenizers {tokenizers.__version__}, {size:,} bytes each, seed {seed}:"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("tokenizer", overflow="fold")
    table.add_column("path", no_wrap=True)
    for column in ("tokens", "different", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        found = row.tally
        counts = () if found is None else (
            f"{found.tokens:,}", f"{found.different:,}", f"{row.seconds:.0f}",
        )  # fmt: skip
        table.add_row(Text(printable(row.tokenizer)), row.path, *counts)
    console.print(Text(title), table)
    for row in rows:
        if found := row.tally:
            line = (
                f"{row.tokenizer}: {row.family}; {found.texts:,} texts, {found.changed:,} changed, "
                f"{found.unclaimed:,} unclaimed, {found.special:,} special"
            )
            console.print(printable(line), markup=False)
        if row.tally and row.tally.failed:
            line = f"{row.tokenizer}: tokenizers itself fails on {row.tally.failed:,} other texts"
            console.print(printable(line), markup=False)
        if row.reason:
            line = printable(f"{row.tokenizer}: {row.path}: {row.reason}")
            console.print(line, markup=False)
    for row in rows:
        for one in row.tally.differences if row.tally else ():
            line = f"{row.tokenizer}: {one.law}: {one.text!r}\n  expected {one.expected}\n"
            console.print(printable(f"{line}  found    {one.found}"), markup=False)
