"""How near a pair comes to what its forward passes allow, and that it is never slower than plain.

    python benches/limits.py STORIES PAIR... [--prompts 6] [--runs 3] [--max-new-tokens 200]

A PAIR is "TARGET,ASSISTANT", "demo", or "TARGET,ASSISTANT~wrong": the assistant then says with
confidence what it finds unlikely. Ways take turns, prompt by prompt; ratios are of sums.

`x plain` is against `model.generate`, of all tokens and of those after the first 50; `of bound` is
the share of the time that is spent in forward passes of either model, which is tokens a second
against E[tokens] / (T_verify + k T_draft) of these very passes; `ms beside` is the rest, for each
round.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, cast

import torch
import typer
from acceptance import story_openings
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from transformers import PreTrainedModel
from transformers.generation import BaseStreamer

from uag import SpeculativeDecoder
from uag.demo import demo_decoder
from uag.stats import Round
from uag.translation.tokenizers import prompt_ids

FIRST = 50  # tokens, after which an assistant that does not help must be known


@dataclass
class Sums:
    """What one way of decoding took, over all texts."""

    tokens: int = 0
    seconds: float = 0.0
    later_tokens: int = 0
    later_seconds: float = 0.0
    rounds: int = 0
    forwards: int = 0
    in_forwards: float = 0.0

    def add(self, times: list[float], tokens: list[int]) -> None:
        """A text: when each of its rounds ended, from its beginning, and how many tokens it had."""
        told = 0
        for end, count in zip(times, tokens, strict=True):
            told += count
            if told >= FIRST:
                self.later_tokens += sum(tokens) - told
                self.later_seconds += times[-1] - end
                break
        self.tokens += sum(tokens)
        self.seconds += times[-1]
        self.rounds += len(tokens)

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def later_speed(self) -> float:
        """Tokens a second after the first ones."""
        return self.later_tokens / self.later_seconds


@dataclass
class Ticks(BaseStreamer):
    """Notes when each token comes."""

    start: float = field(default_factory=perf_counter)
    times: list[float] = field(default_factory=list[float])

    def put(self, value: Any) -> None:
        del value
        self.times.append(perf_counter() - self.start)

    def end(self) -> None:
        pass


def load_pair(name: str) -> SpeculativeDecoder:
    """The decoder that a PAIR stands for, with its default lookahead."""
    if name == "demo":
        return demo_decoder(lookahead="auto")
    models, _, wrong = name.partition("~")
    target, _, assistant = models.partition(",")
    decoder = SpeculativeDecoder.from_pretrained(
        target, assistant, dtype="auto", trust_remote_code=True
    )
    if wrong:
        mislead(cast("PreTrainedModel", decoder.assistant))
    return decoder


def mislead(model: PreTrainedModel) -> None:
    """Give every id the score of the one before it."""
    head = cast("nn.Linear", model.get_output_embeddings())
    other = copy.deepcopy(head)
    other.weight = nn.Parameter(head.weight.detach().roll(1, 0), requires_grad=False)
    cast("Any", model).set_output_embeddings(other)


@contextmanager
def timed(models: list[nn.Module]) -> Iterator[list[float]]:
    """A list that gets the seconds of every forward pass of these models."""
    starts, seconds = list[float](), list[float]()

    def begin(*_: object) -> None:
        starts.append(perf_counter())

    def end(*_: object) -> None:
        seconds.append(perf_counter() - starts.pop())

    hooks = [
        hook
        for model in models
        for hook in (model.register_forward_pre_hook(begin), model.register_forward_hook(end))
    ]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def plainly(decoder: SpeculativeDecoder, text: str, length: int, sums: Sums) -> list[int]:
    """Decode with transformers alone."""
    ids = torch.tensor([prompt_ids(decoder.tokenizer, text)])
    ticks = Ticks()
    generate = cast("Callable[..., torch.Tensor]", decoder.model.generate)
    out = generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=length,
        streamer=ticks,
    )
    new = out[0, ids.shape[1] :].tolist()
    sums.add(ticks.times[1:], [1] * len(new))  # the first is the prompt
    return new


def assisted(decoder: SpeculativeDecoder, text: str, length: int, sums: Sums) -> list[int]:
    """Decode with the assistant."""
    models = [decoder.model, cast("PreTrainedModel", decoder.assistant)]
    with timed(cast("list[nn.Module]", models)) as seconds:
        start = perf_counter()
        out = decoder.generate(text, do_sample=False, max_new_tokens=length)
        total = perf_counter() - start
    history: list[Round] = out.stats.history
    ends, at = list[float](), total - sum(sum(done.seconds.values()) for done in history)
    for done in history:
        at += sum(done.seconds.values())
        ends.append(at)
    sums.add(ends, [len(done.tokens) for done in history])
    sums.in_forwards += sum(seconds)
    sums.forwards += out.stats.target_forwards
    return out.token_ids


def main(
    stories: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    pairs: list[str],
    prompts: Annotated[int, typer.Option(min=1)] = 6,
    runs: Annotated[int, typer.Option(min=1)] = 3,
    max_new_tokens: Annotated[int, typer.Option(min=FIRST + 1)] = 200,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Time every pair, its texts told plainly and with the assistant in turn."""
    torch.set_num_threads(threads)
    console = Console()
    columns = ("plain tokens/s", "x plain", f"x after {FIRST}", "of bound", "ms beside",
               "tokens per forward", "other ids")  # fmt: skip
    table = Table("pair", *columns)
    for name in pairs:
        decoder = load_pair(name)
        texts = story_openings(stories, prompts)
        for way in (plainly, assisted):
            way(decoder, texts[0], max_new_tokens, Sums())
        plain, ours, other = Sums(), Sums(), 0
        for text in track(texts * runs, name[-30:], console=Console(stderr=True)):
            expected = plainly(decoder, text, max_new_tokens, plain)
            other += assisted(decoder, text, max_new_tokens, ours) != expected
        table.add_row(
            ", ".join(Path(part).name for part in name.split(",")),
            f"{plain.speed:.1f}",
            f"{ours.speed / plain.speed:.2f}",
            f"{ours.later_speed / plain.later_speed:.2f}",
            f"{ours.in_forwards / ours.seconds:.3f}",
            f"{1e3 * (ours.seconds - ours.in_forwards) / ours.rounds:.2f}",
            f"{ours.tokens / ours.forwards:.2f}",
            f"{other} of {len(texts) * runs}",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
