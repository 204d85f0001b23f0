"""How many tokens does a target pass give when tokens are sampled, by each method to draft?

    python -m benches.sampling --stories FILE [--pair T,A ...] [--temperatures 0.3,0.7,1]
    python -m benches.sampling --stories FILE [--pair T,A ...] --draft-temperatures 1,0.8,0.6,0.5

A pair is "TARGET,ASSISTANT" (names or folders), "demo" for the pair in the package, or "TARGET~0.1"
for an assistant that is almost the target: its weights plus noise of a tenth of their spread.

The methods: `shared` (noise) is the library's; `apart` samples from the assistant with noise of its
own, at the target's temperature and at half of it; `greedy` drafts the likeliest tokens;
`rejection` is the library's other method; `transformers` is `model.generate(do_sample=True,
assistant_model=...)`, or the error that it ends with. All but the last two give the same texts.
With --draft-temperatures, `shared` alone is measured, for each of them.

A cell is tokens per target forward, its standard error, and in brackets the texts' surprise to the
target in nats per token: what samples from the target's distribution has the same, but for chance.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, cast

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor
from transformers import PreTrainedModel

from benches.common import (
    FixedLookahead,
    JsonFile,
    Limit,
    MaxNewTokens,
    Pairs,
    Results,
    Seeds,
    Stories,
    Threads,
    Trust,
    begin,
    console,
    counted,
    draft_always,
    load_changed,
    numbers,
    pair_label,
    story_openings,
    transformers_ids,
    write_json,
)
from uag import SpeculativeDecoder
from uag.models.caches.protocol import Choose
from uag.sampling.coupled import DraftShape
from uag.sampling.greedy import Choice, most_likely_draft
from uag.translation.tokenizers import prompt_ids

PEER = "transformers"  # a failure of this one is a result

# (prompt's ids, options, seed) -> new ids, target forwards
Method = Callable[[list[int], dict[str, Any], int], tuple[list[int], int]]


class OtherDraft(SpeculativeDecoder):
    """A decoder whose assistant chooses ids by a method of its own: each draft as `choice` says."""

    def __init__(self, *parts: Any, choice: Choice, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        side = self._engine._side
        usual = side.source
        side.source = lambda opening: usual(replace(opening, choice=choice))  # type: ignore[method-assign]


@dataclass
class Count:
    """What one method came to.

    Attributes:
        texts: for each text its tokens, target forwards, and surprise in nats.
        error: the name of what ended it.
    """

    pair: str
    method: str
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


@torch.no_grad()
def perturb(model: torch.nn.Module, how: str) -> None:
    """Add noise to every matrix: this share of its spread."""
    relative = float(how)
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
    """Sampling with noise of its own."""

    def sample(logits: Tensor) -> Tensor:
        scores, ids = shape(logits[0])
        return ids[torch.multinomial(scores.softmax(-1), 1)]

    return lambda: sample


def ours(decoder: SpeculativeDecoder) -> Method:
    """This library's decoding, or a variant of it."""

    def generate(ids: list[int], options: dict[str, Any], seed: int) -> tuple[list[int], int]:
        torch.manual_seed(seed)
        with counted(decoder.model) as forwards:
            out = decoder.generate(ids, seed=seed, **options)
        return out.token_ids, len(forwards)

    return generate


def peers(decoder: SpeculativeDecoder, lookahead: int) -> Method:
    """The assisted generation of transformers, with copies of its own: it changes the assistant."""
    model, assistant = copy.deepcopy((decoder.model, cast("Any", decoder.assistant)))
    draft_always(assistant, lookahead)
    arguments: dict[str, Any] = {"assistant_model": assistant}
    if decoder.bridge.target.vocab_size != decoder.bridge.assistant.vocab_size:
        # It remembers assistants by their tokenizers, so those are copies too.
        arguments["tokenizer"], arguments["assistant_tokenizer"] = copy.deepcopy(
            (decoder.tokenizer, decoder.assistant_tokenizer)
        )

    def generate(ids: list[int], options: dict[str, Any], seed: int) -> tuple[list[int], int]:
        torch.manual_seed(seed)
        with counted(model) as forwards:
            return transformers_ids(model, ids, **options, **arguments), len(forwards)

    return generate


def all_methods(
    decoder: SpeculativeDecoder, temperature: float, lookahead: int
) -> Iterator[tuple[str, Method]]:
    """Every method to draft, by name."""
    yield "shared", ours(decoder)
    for factor in (1.0, 0.5):
        choice = independent(DraftShape(temperature * factor))
        yield f"apart, x{factor:g}", ours(varied(decoder, OtherDraft, choice=choice))
    yield "greedy", ours(varied(decoder, OtherDraft, choice=most_likely_draft))
    yield "rejection", ours(varied(decoder, sampling="rejection"))
    yield PEER, peers(decoder, lookahead)


def factor_methods(
    decoder: SpeculativeDecoder, factors: list[float]
) -> Iterator[tuple[str, Method]]:
    """The library's method with each draft temperature."""
    for factor in factors:
        yield f"x{factor:g}", ours(varied(decoder, draft_temperature=factor))


@torch.inference_mode()
def surprise(
    model: PreTrainedModel, prompt: list[int], ids: list[int], temperature: float
) -> float:
    """What the target makes of a text: minus the log-probability with which it samples its ids."""
    logits = cast("Any", model)(torch.tensor([prompt + ids], device=model.device)).logits[
        0, len(prompt) - 1 : -1
    ]
    chances = (logits / temperature).log_softmax(-1)
    return -float(chances.gather(-1, torch.tensor(ids, device=chances.device)[:, None]).sum())


def measure(
    count: Count,
    method: Method,
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
            ids, forwards = method(prompt, options, seed)
            nats = surprise(model, prompt, ids, count.temperature)
            count.texts.append((len(ids), forwards, nats))
    except Exception as error:
        if count.method != PEER:
            raise
        count.error = type(error).__name__
    return count


def show(counts: list[Count]) -> None:
    """A table for each pair: a row for each temperature, a column for each method."""
    for pair in dict.fromkeys(count.pair for count in counts):
        own = [count for count in counts if count.pair == pair]
        methods = dict.fromkeys(count.method for count in own)
        results = Results("temperature", *methods, title=pair)
        for temperature in dict.fromkeys(count.temperature for count in own):
            cells = [str(count) for count in own if count.temperature == temperature]
            results.add(f"{temperature:g}", *cells)
        results.show()


def main(
    stories: Stories,
    pairs: Pairs = None,
    temperatures: Annotated[str, typer.Option(help="Of the target.")] = "0.3,0.7,1",
    draft_temperatures: Annotated[
        str, typer.Option(help="Measure `shared` alone, drafting at these shares of it.")
    ] = "",
    limit: Limit = 12,
    seeds: Seeds = 4,
    lookahead: FixedLookahead = 6,
    max_new_tokens: MaxNewTokens = 100,
    threads: Threads = 1,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Count target passes of every method over the same prompts and seeds."""
    begin(threads)
    counts: list[Count] = []
    for pair in pairs or ["demo"]:
        decoder = load_changed(
            pair,
            perturb,
            lookahead=lookahead,
            dtype="float32",
            trust_remote_code=trust_remote_code,
        )
        texts = story_openings(stories, limit)
        ids = [prompt_ids(decoder.tokenizer, text) for text in texts]
        label = pair_label(pair)
        for temperature in track(numbers(temperatures), label, console=Console(stderr=True)):
            methods = (
                factor_methods(decoder, numbers(draft_temperatures))
                if draft_temperatures
                else all_methods(decoder, temperature, lookahead)
            )
            for name, method in methods:
                count = Count(label, name, temperature)
                counts.append(measure(count, method, decoder.model, ids, seeds, max_new_tokens))
    show(counts)
    console.print(f"{limit} prompts, {seeds} seeds, {max_new_tokens} tokens, {lookahead} drafted")
    write_json(json_file, [asdict(count) for count in counts])


if __name__ == "__main__":
    typer.run(main)
