"""How near does a pair come to what its forward passes allow, and is it ever slower than plain?

    python -m benches.limits --stories FILE [--pair T,A ...] [--limit 6] [--runs 3]

A pair is "TARGET,ASSISTANT" or "demo", and with "~wrong" after it the assistant says with
confidence what it finds unlikely. Both methods take turns, prompt by prompt; ratios are of sums.

`x plain` is against `model.generate`, of all tokens and of those after the first 50; `of bound` is
the share of the time that is spent in forward passes of either model, which is tokens a second
against E[tokens] / (T_verify + k T_draft) of these very passes; `ms beside` is the rest, for each
round.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import track
from torch import nn
from transformers import PreTrainedModel
from transformers.generation import BaseStreamer

from benches.common import (
    JsonFile,
    Limit,
    Pairs,
    Results,
    Runs,
    Stories,
    Threads,
    Trust,
    begin,
    load_changed,
    pair_label,
    story_openings,
    transformers_ids,
)
from benches.gpu.clocks import wait
from uag import SpeculativeDecoder
from uag.stats import Round
from uag.translation.tokenizers import prompt_ids

FIRST = 50  # tokens, after which an assistant that does not help must be known


@dataclass
class Sums:
    """What one method of decoding took, over all texts."""

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


def mislead(model: nn.Module, how: str) -> None:
    """Give every id the score of the one before it."""
    if how != "wrong":
        raise typer.BadParameter(f"~{how} is not ~wrong", param_hint="--pair")
    head = cast("nn.Linear", cast("PreTrainedModel", model).get_output_embeddings())
    other = copy.deepcopy(head)
    other.weight = nn.Parameter(head.weight.detach().roll(1, 0), requires_grad=False)
    cast("Any", model).set_output_embeddings(other)


@contextmanager
def timed(models: list[nn.Module]) -> Iterator[list[float]]:
    """A list that gets the seconds of every forward pass of these models.

    On a GPU the host waits before and after each, so that passes are timed and not their launch.
    With hooks on them models run eagerly, whatever the engine.
    """
    starts, seconds = list[float](), list[float]()
    devices = {cast("PreTrainedModel", model).device for model in models}

    def moment() -> float:
        for device in devices:
            wait(device)
        return perf_counter()

    def begin(*_: object) -> None:
        starts.append(moment())

    def end(*_: object) -> None:
        seconds.append(moment() - starts.pop())

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
    ids = prompt_ids(decoder.tokenizer, text)
    ticks = Ticks()
    new = transformers_ids(
        decoder.model, ids, do_sample=False, max_new_tokens=length, streamer=ticks
    )
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
    stories: Stories,
    pairs: Pairs = None,
    limit: Limit = 6,
    runs: Runs = 3,
    max_new_tokens: Annotated[
        int, typer.Option(min=FIRST + 1, help="Most tokens to generate from a prompt.")
    ] = 200,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Time each pair: its prompts decoded plainly and with the assistant, in turn."""
    begin(threads)
    results = Results("pair", "plain tokens/s", "x plain", f"x after {FIRST}", "of bound",
                      "ms beside", "tokens per forward", "other ids")  # fmt: skip
    for pair in pairs or ["demo"]:
        decoder = load_changed(
            pair, mislead, dtype="auto", lookahead="auto", trust_remote_code=trust_remote_code
        )
        texts = story_openings(stories, limit)
        for method in (plainly, assisted):
            method(decoder, texts[0], max_new_tokens, Sums())
        plain, ours, other = Sums(), Sums(), 0
        for text in track(texts * runs, pair[-30:], console=Console(stderr=True)):
            expected = plainly(decoder, text, max_new_tokens, plain)
            other += assisted(decoder, text, max_new_tokens, ours) != expected
        results.add(
            pair_label(pair),
            f"{plain.speed:.1f}",
            f"{ours.speed / plain.speed:.2f}",
            f"{ours.later_speed / plain.later_speed:.2f}",
            f"{ours.in_forwards / ours.seconds:.3f}",
            f"{1e3 * (ours.seconds - ours.in_forwards) / ours.rounds:.2f}",
            f"{ours.tokens / ours.forwards:.2f}",
            f"{other} of {len(texts) * runs}",
        )
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
