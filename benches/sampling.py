"""Tokens per target forward when tokens are drawn: shared noise beside the other ways to draft.

    python benches/sampling.py STORIES PAIR... [--temperatures 0.3,0.7,1] [--prompts 12] [--seeds 4]
    python benches/sampling.py STORIES PAIR... --draft-temperatures 1,0.8,0.6,0.5,0.4,0.3

A PAIR is "TARGET,ASSISTANT" (names or folders), "demo" for the pair in the package, or "TARGET~0.1"
for an assistant that is almost the target: its weights plus noise of a tenth of their spread.

The ways: `shared` is the library's; `apart` draws from the assistant with noise of its own, at the
target's temperature and at half of it; `greedy` drafts the likeliest tokens; `rejection` is the
library's other way; `transformers` is `model.generate(do_sample=True, assistant_model=...)`, or
the error that it ends with. All but the last two give the same texts. With --draft-temperatures,
`shared` alone is measured, for each of them.

A cell is tokens per target forward, its standard error, and in brackets the texts' surprise to the
target in nats per token: what draws from the target's distribution has the same, but for chance.
"""

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from acceptance import story_openings
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel

from uag import SpeculativeDecoder
from uag.demo import demo_decoder
from uag.models.cached_lm import Choose
from uag.sampling.coupled import DraftShape
from uag.sampling.greedy import Choice, most_likely_draft
from uag.translation.tokenizers import prompt_ids

PEER = "transformers"  # a failure of this one is a result

# (prompt's ids, options, seed) -> new ids, target forwards
Way = Callable[[list[int], dict[str, Any], int], tuple[list[int], int]]


class OtherDraft(SpeculativeDecoder):
    """A decoder whose assistant chooses ids in a way of its own: each draft as `choice` says."""

    def __init__(self, *parts: Any, choice: Choice, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        side = self._engine._side
        usual = side.source
        side.source = lambda opening: usual(replace(opening, choice=choice))  # type: ignore[method-assign]


@dataclass
class Count:
    """What one way came to.

    Attributes:
        texts: for each text its tokens, target forwards, and surprise in nats.
        error: the name of what ended it.
    """

    pair: str
    way: str
    temperature: float
    texts: list[tuple[int, int, float]] = field(default_factory=list)
    error: str = ""

    @property
    def rate(self) -> float:
        """Tokens per target forward."""
        tokens, forwards, _ = map(sum, zip(*self.texts, strict=True))
        return tokens / forwards

    @property
    def nats(self) -> float:
        """How surprising the texts are to the target, for each token."""
        tokens, _, nats = map(sum, zip(*self.texts, strict=True))
        return nats / tokens

    @property
    def deviation(self) -> float:
        """Its standard error, from the differences between texts."""
        rest = sum((tokens - self.rate * forwards) ** 2 for tokens, forwards, _ in self.texts)
        forwards = sum(forwards for _, forwards, _ in self.texts)
        return math.sqrt(rest * len(self.texts) / max(1, len(self.texts) - 1)) / forwards

    def __str__(self) -> str:
        return self.error or f"{self.rate:.2f} ±{self.deviation:.2f} ({self.nats:.2f})"


def load_pair(name: str, lookahead: int) -> SpeculativeDecoder:
    """The decoder that a PAIR stands for."""
    if name == "demo":
        return demo_decoder(lookahead=lookahead)
    model, _, noise = name.partition("~")
    target, _, assistant = model.partition(",")
    decoder = SpeculativeDecoder.from_pretrained(
        target,
        assistant or target,
        lookahead=lookahead,
        dtype="float32",
        trust_remote_code=True,
    )
    if noise and decoder.assistant is not None:
        perturb(decoder.assistant, float(noise))
    return decoder


@torch.no_grad()
def perturb(model: torch.nn.Module, relative: float) -> None:
    """Add noise to every matrix, in proportion to its spread."""
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.add_(torch.randn_like(weight), alpha=relative * float(weight.std()))


def varied(
    decoder: SpeculativeDecoder,
    kind: type[SpeculativeDecoder] = SpeculativeDecoder,
    **settings: Any,
) -> SpeculativeDecoder:
    """The same models in a decoder of another kind, or with other settings."""
    parts = decoder.model, decoder.tokenizer, decoder.assistant, decoder.assistant_tokenizer
    return kind(*parts, lookahead=decoder.lookahead, **settings)


def independent(shape: DraftShape) -> Callable[[], Choose]:
    """TextSampling with noise of their own."""

    def draw(logits: Tensor) -> Tensor:
        scores, ids = shape(logits[0])
        return ids[torch.multinomial(scores.softmax(-1), 1)]

    return lambda: draw


def ours(decoder: SpeculativeDecoder) -> Way:
    """This library's decoding, or a variant of it."""

    def generate(ids: list[int], options: dict[str, Any], seed: int) -> tuple[list[int], int]:
        torch.manual_seed(seed)
        with counted(decoder.model) as forwards:
            out = decoder.generate(ids, seed=seed, **options)
        return out.token_ids, len(forwards)

    return generate


def peers(decoder: SpeculativeDecoder, lookahead: int) -> Way:
    """The assisted generation of transformers, with copies of its own: it changes the assistant."""
    model, assistant = copy.deepcopy((decoder.model, cast("Any", decoder.assistant)))
    settings = assistant.generation_config
    # transformers reads these off the assistant.
    settings.num_assistant_tokens = lookahead
    settings.num_assistant_tokens_schedule = "constant"
    settings.assistant_confidence_threshold = 0.0
    arguments: dict[str, Any] = {"assistant_model": assistant}
    if decoder.bridge.target.vocab_size != decoder.bridge.assistant.vocab_size:
        # It remembers assistants by their tokenizers, so those are copies too.
        arguments["tokenizer"], arguments["assistant_tokenizer"] = copy.deepcopy(
            (decoder.tokenizer, decoder.assistant_tokenizer)
        )

    def generate(ids: list[int], options: dict[str, Any], seed: int) -> tuple[list[int], int]:
        torch.manual_seed(seed)
        prompt = torch.tensor([ids])
        with counted(model) as forwards:
            out = cast("Any", model).generate(
                prompt, attention_mask=torch.ones_like(prompt), **options, **arguments
            )
        return out[0, len(ids) :].tolist(), len(forwards)

    return generate


class counted:  # noqa: N801 # used as a function
    """A list that grows by one entry with each forward pass of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._forwards: list[None] = []
        self._hook = model.register_forward_hook(lambda *_: self._forwards.append(None))

    def __enter__(self) -> list[None]:
        return self._forwards

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def all_ways(
    decoder: SpeculativeDecoder, temperature: float, lookahead: int
) -> Iterator[tuple[str, Way]]:
    """Every way to draft, by name."""
    yield "shared", ours(decoder)
    for factor in (1.0, 0.5):
        draws = independent(DraftShape(temperature * factor))
        yield f"apart, x{factor:g}", ours(varied(decoder, OtherDraft, choice=draws))
    yield "greedy", ours(varied(decoder, OtherDraft, choice=most_likely_draft))
    yield "rejection", ours(varied(decoder, sampling="rejection"))
    yield PEER, peers(decoder, lookahead)


def factor_ways(decoder: SpeculativeDecoder, factors: list[float]) -> Iterator[tuple[str, Way]]:
    """The library's way with each draft temperature."""
    for factor in factors:
        yield f"x{factor:g}", ours(varied(decoder, draft_temperature=factor))


@torch.inference_mode()
def surprise(
    model: PreTrainedModel, prompt: list[int], ids: list[int], temperature: float
) -> float:
    """What the target makes of a text: minus the log-probability with which it draws its ids."""
    logits = cast("Any", model)(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
    chances = (logits / temperature).log_softmax(-1)
    return -float(chances.gather(-1, torch.tensor(ids)[:, None]).sum())


def measure(
    count: Count,
    way: Way,
    model: PreTrainedModel,
    prompts: list[list[int]],
    seeds: int,
    max_new_tokens: int,
) -> Count:
    """Run every prompt with every seed."""
    options = {
        "do_sample": True,
        "temperature": count.temperature,
        "top_k": 0,
        "max_new_tokens": max_new_tokens,
    }
    try:
        for prompt, seed in itertools.product(prompts, range(seeds)):
            ids, forwards = way(prompt, options, seed)
            nats = surprise(model, prompt, ids, count.temperature)
            count.texts.append((len(ids), forwards, nats))
    except Exception as error:
        if count.way != PEER:
            raise
        count.error = type(error).__name__
    return count


def show(counts: list[Count], console: Console) -> None:
    """A table for each pair: a row for each temperature, a column for each way."""
    for pair in dict.fromkeys(count.pair for count in counts):
        own = [count for count in counts if count.pair == pair]
        table = Table("temperature", *dict.fromkeys(count.way for count in own), title=pair)
        for temperature in dict.fromkeys(count.temperature for count in own):
            cells = [str(count) for count in own if count.temperature == temperature]
            table.add_row(f"{temperature:g}", *cells)
        console.print(table)


def numbers(text: str) -> list[float]:
    """Numbers between commas."""
    return [float(part) for part in text.split(",") if part]


def main(
    stories: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    pairs: list[str],
    temperatures: str = "0.3,0.7,1",
    draft_temperatures: str = "",
    prompts: Annotated[int, typer.Option(min=1)] = 12,
    seeds: Annotated[int, typer.Option(min=1)] = 4,
    lookahead: Annotated[int, typer.Option(min=1)] = 6,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 100,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write counts here.")] = None,
) -> None:
    """Count target forwards of every way over the same prompts and seeds."""
    torch.set_num_threads(1)
    console, counts = Console(), cast("list[Count]", [])
    for name in pairs:
        decoder = load_pair(name, lookahead)
        texts = story_openings(stories, prompts)
        ids = [prompt_ids(decoder.tokenizer, text) for text in texts]
        label = " <- ".join(Path(part).name for part in name.split(","))
        for temperature in track(numbers(temperatures), label, console=Console(stderr=True)):
            ways = (
                factor_ways(decoder, numbers(draft_temperatures))
                if draft_temperatures
                else all_ways(decoder, temperature, lookahead)
            )
            for way, generate in ways:
                count = Count(label, way, temperature)
                counts.append(measure(count, generate, decoder.model, ids, seeds, max_new_tokens))
    show(counts, console)
    console.print(f"{prompts} prompts, {seeds} seeds, {max_new_tokens} tokens, {lookahead} drafted")
    if json_file:
        json_file.write_text(json.dumps([asdict(count) for count in counts]), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
