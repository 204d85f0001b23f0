"""What the benchmarks share: options, pairs of models, prompts, counts, seconds and tables.

`benches.round` runs on older versions of the package, and imports this: only public names of `uag`
are imported here before they are needed.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console
from rich.table import Table

from uag import SpeculativeDecoder

Target = Annotated[
    str | None,
    typer.Option(help="Name or folder of the target; without it, the demo pair of the package."),
]
Assistant = Annotated[str | None, typer.Option(help="Name or folder of the assistant.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pair",
        help="TARGET,ASSISTANT (names or folders) or 'demo', the default; may be repeated.",
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Name or folder of a model; without it, the demo pair's target.")
]
Stories = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Text file of stories, such as TinyStories, with empty lines between.",
    ),
]
Limit = Annotated[int, typer.Option(min=1, help="Most prompts; of each kind, if there are kinds.")]
Lookahead = Annotated[str, typer.Option(help="Ids to draft a round, 'auto' or 'heuristic'.")]
FixedLookahead = Annotated[int, typer.Option("--lookahead", min=1, help="Ids to draft a round.")]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Most tokens to generate from a prompt.")]
Runs = Annotated[int, typer.Option(min=1, help="Times that each measurement is made.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, from 0 on.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of torch.")]
Dtype = Annotated[str, typer.Option(help="Number type of the weights: auto, float32, bfloat16 ...")]
Trust = Annotated[bool, typer.Option(help="Run code that comes with the models.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", dir_okay=False, help="Also write the results here.")
]

OPENING = "Once upon a time"

console = Console(highlight=False)


def begin(threads: int) -> None:
    """Set the threads of torch; silence what would print between the results."""
    from uag.cli.terminal import be_quiet

    be_quiet()
    torch.set_num_threads(threads)


def split(text: str) -> list[str]:
    """What is between commas."""
    return [part for part in text.split(",") if part]


def numbers(text: str) -> list[float]:
    """Numbers between commas."""
    return [float(part) for part in split(text)]


# Models


def demo_folder(role: str) -> str:
    """The folder of the demo pair's "target" or "assistant"."""
    return str(files("uag") / "demo_pair" / role)


def pair_names(target: str | None, assistant: str | None) -> tuple[str, str | None]:
    """The models to load: those of the demo pair where no target is named."""
    if target is not None:
        return target, assistant
    if assistant is not None:
        raise typer.BadParameter("give --target too, or neither for the demo pair")
    return demo_folder("target"), demo_folder("assistant")


def needed(assistant: str | None) -> str:
    """The assistant of a benchmark that measures nothing without one."""
    if assistant is None:
        raise typer.BadParameter("an assistant is needed", param_hint="--assistant")
    return assistant


def load_pair(
    target: str | None, assistant: str | None, *, alone: bool = False, **options: Any
) -> SpeculativeDecoder:
    """The decoder of a pair, by default of the demo pair, with options of `from_pretrained`.

    `alone`: whether there may be no assistant.
    """
    if target is not None and not alone:
        needed(assistant)
    if target is None and options.get("dtype", "auto") == "auto":
        options["dtype"] = "float32"  # as `uag.demo`
    return SpeculativeDecoder.from_pretrained(*pair_names(target, assistant), **options)


def load_changed(
    pair: str, change: Callable[[torch.nn.Module, str], None], **options: Any
) -> SpeculativeDecoder:
    """The decoder of a `--pair`; of "PAIR~HOW" the assistant is changed: `change(model, HOW)`."""
    models, _, how = pair.partition("~")
    target, _, assistant = models.partition(",")
    named = None if target == "demo" else target
    decoder = load_pair(named, assistant or named, **options)
    if how:
        change(cast("torch.nn.Module", decoder.assistant), how)
    return decoder


def pair_label(pair: str) -> str:
    """A `--pair` without the folders that its models are in."""
    return " <- ".join(Path(part).name for part in split(pair))


def draft_always(assistant: Any, lookahead: int) -> None:
    """Have transformers draft this many ids in each round: it reads that off the assistant."""
    settings = assistant.generation_config
    settings.num_assistant_tokens = lookahead
    settings.num_assistant_tokens_schedule = "constant"
    settings.assistant_confidence_threshold = 0.0


def transformers_ids(model: Any, ids: list[int], **options: Any) -> list[int]:
    """The new ids of `model.generate` for one prompt."""
    prompt = torch.tensor([ids], device=model.device)
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
    return out[0, len(ids) :].tolist()


# Prompts


def story_openings(stories: Path, limit: int, words: int = 5) -> list[str]:
    """ "Once upon a time", the same with ", there was", and how other stories go on from it.

    Of those, the first `words`, without repetition.
    """
    lines = (line.strip() for line in stories.read_text(encoding="utf-8").splitlines())
    found = [line for line in lines if len(line) > 200 and line.startswith(OPENING)]
    others = sorted({" ".join(story.split()[:words]) for story in found})
    return [OPENING, f"{OPENING}, there was", *others][:limit]


def story_prompts(stories: Path, limit: int) -> dict[str, tuple[list[str], int]]:
    """Prompts of a story model by kind, and how many ids follow each."""
    texts = stories.read_text(encoding="utf-8").split("\n\n")
    found = [text for text in texts if 200 < len(text) < 500]
    Random(1).shuffle(found)
    chosen = iter(found)

    def openings(words: int) -> Iterator[str]:
        while True:
            yield " ".join(next(chosen).split()[:words])

    told = [next(chosen).strip() for _ in range(limit)]
    return {
        "a story begins again": ([f"{text} {' '.join(text.split()[:6])}" for text in told], 60),
        "a long text": ([text for text, _ in zip(openings(6), range(limit), strict=False)], 200),
        "a new story": ([text for text, _ in zip(openings(30), range(limit), strict=False)], 60),
    }


# Counts and seconds


def timed(run: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float]:
    """A result and the seconds that it took."""
    start = perf_counter()
    result = run(*args, **options)
    return result, perf_counter() - start


@contextmanager
def counted(model: torch.nn.Module) -> Iterator[list[None]]:
    """A list that grows by one entry with each forward pass of a model."""
    passes: list[None] = []
    hook = model.register_forward_hook(lambda *_: passes.append(None))
    try:
        yield passes
    finally:
        hook.remove()


# Results


def write_json(file: Path | None, value: object) -> None:
    """Write results to a file, if one is asked for."""
    if file is not None:
        from uag.files import write_bytes

        text = json.dumps(value, indent=1, ensure_ascii=False)
        write_bytes(file, text.encode(), "results")


class Results:
    """A table that is printed, and written as JSON: a list of objects, one for each row."""

    def __init__(self, *columns: str, title: str | None = None) -> None:
        """The first column says what a row is; the others are numbers."""
        self._columns = columns
        self._rows: list[tuple[str, ...]] = []
        self._table = Table(columns[0], title=title)
        for column in columns[1:]:
            self._table.add_column(column, justify="right")

    def add(self, *cells: str) -> None:
        """One more row."""
        self._rows.append(cells)
        self._table.add_row(*cells)

    def end_section(self) -> None:
        """A line before the next row."""
        self._table.add_section()

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows, by column."""
        return [dict(zip(self._columns, row, strict=True)) for row in self._rows]

    def show(self, json_file: Path | None = None) -> None:
        """Print all rows, and write them to a file if one is asked for."""
        console.print(self._table)
        write_json(json_file, self.rows)
