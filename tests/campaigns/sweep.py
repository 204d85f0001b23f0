"""Every ordered pair of a folder's tokenizers through the laws of translation.

    python -m tests.campaigns.sweep ../tokenizers --text corpus/*.txt --rounds 200

FOLDER holds one folder with a `tokenizer.json` per tokenizer. Any violation ends the run with what
led to it."""

import itertools
import json
import lzma
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Annotated

import tokenizers
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.support.laws import Player, play
from tests.support.real_tokenizer import RealTokenizer


def read_texts(files: list[Path]) -> list[str]:
    """Stretches of a few hundred characters of all files."""
    stretches: list[str] = []
    for file in files:
        data = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        text = data.decode(errors="ignore")
        texts = list(strings(json.loads(text))) if file.suffix == ".json" else [text[:300_000]]
        for text in texts:
            stretches += [text[i : i + 1500] for i in range(0, len(text), 1500)]
    return stretches


def strings(value: object) -> list[str]:
    """All strings in a JSON value."""
    match value:
        case str():
            return [value]
        case dict():
            return [s for v in value.values() for s in strings(v)]
        case list():
            return [s for v in value for s in strings(v)]
        case _:
            return []


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    text: Annotated[
        list[Path],
        typer.Option(exists=True, dir_okay=False, help="text, .json or .xz; may be repeated"),
    ],
    rounds: Annotated[int, typer.Option(min=1, help="rounds a pair")] = 200,
    seed: int = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="only pairs with this tokenizer; may be repeated")
    ] = None,
) -> None:
    """Play random rounds over every ordered pair of tokenizers and print what was compared."""
    console = Console()
    texts = read_texts(text)
    oracles: dict[str, RealTokenizer] = {}
    for file in track(
        sorted(folder.glob("*/tokenizer.json")), "loading", console=Console(stderr=True)
    ):
        try:
            oracle = RealTokenizer(tokenizers.Tokenizer.from_file(str(file)))
        except ValueError as error:
            console.print(f"{file.parent.name}: not on the fast path: {error}", markup=False)
        else:
            if oracle.core.family.endswith("BPE"):
                oracles[file.parent.name] = oracle
            else:
                console.print(
                    f"{file.parent.name}: {oracle.core.family} changes texts; tests/core checks it"
                )
    started = time.monotonic()
    total: Counter[str] = Counter()
    pairs = [
        (a, b) for a, b in itertools.product(oracles, oracles) if not only or {a, b} & set(only)
    ]
    for target, assistant in track(pairs, "playing", console=Console(stderr=True)):
        rng = Random(f"{seed} {target} {assistant}")
        ends = [(oracles[target].specials[-1], oracles[assistant].specials[-1])]
        counts: Counter[str] = Counter()
        while counts["rounds"] < rounds:
            player = Player(oracles[target], oracles[assistant], ends, rng)
            state = rng.getstate()
            try:
                play(player, rng.choice(texts), rounds=40)
            except Exception:
                console.print(
                    f"violation: {target} <- {assistant}, state {hash(state)}", markup=False
                )
                raise
            counts += player.counts
        total += counts
    table = Table(title=f"{len(pairs)} ordered pairs of {len(oracles)} tokenizers, seed {seed}")
    table.add_column("what")
    table.add_column("count", justify="right")
    for what, count in sorted(total.items()):
        table.add_row(what, f"{count:,}")
    console.print(table)
    console.print(f"0 violations, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    typer.run(main)
