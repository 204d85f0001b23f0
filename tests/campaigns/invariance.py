"""The text for a seed, whoever drafts: every assistant, every draft length, and nobody.

    python -m tests.campaigns.invariance --pairs 500
    python -m tests.campaigns.invariance --pairs 50 --dtype float64

Reads the trained models of tests/support/stories.py. In float32 a model's logits depend in
their last digits on how many ids it reads at once, so a draw between two tokens that are as good as
level may differ; each such place is printed with the gap. In float64 there are none.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.support.noise import top_p_edge
from tests.support.stories import MODELS, PROMPTS
from uag import SpeculativeDecoder
from uag.decoding.output import Output
from uag.decoding.verify import agreement
from uag.limits import LARGEST_TREE
from uag.requests.options import plan_generation
from uag.sampling.coupled import sequence_key
from uag.sampling.noise import gumbel, step_keys
from uag.translation.tokenizers import prompt_ids

TARGET = "sparse-2M-tok4096"

ASSISTANTS = ["stories260K-tok512", "babyllama-1M-tok361", TARGET]

# Ends the name of an assistant whose drafts are trees.
TREES = ", trees"

LOOKAHEADS: list[int | str] = [*range(1, 9), "heuristic", "auto"]

# As many as share no factor with the number of prompts, so that all combinations come.
SHAPES: list[dict[str, Any]] = [
    {"temperature": 1.0, "top_k": 0},
    {"temperature": 0.7, "top_k": 0, "top_p": 0.9},
    {"temperature": 1.0, "top_k": 40},
    {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    {"temperature": 1.3, "top_k": 0, "top_p": 0.8},
    {"temperature": 0.5, "top_k": 0},
    {"temperature": 1.5, "top_k": 10, "top_p": 0.97},
]


@dataclass(frozen=True)
class Case:
    """One text to draw."""

    prompt: str
    seed: int
    options: dict[str, Any]

    def __call__(self, decoder: SpeculativeDecoder) -> Output:
        return decoder.generate(self.prompt, do_sample=True, seed=self.seed, **self.options)

    def lookaheads(self, count: int) -> list[int | str]:
        """The next `count` of them, so that cases in a row go through all."""
        first = self.seed * count
        return [LOOKAHEADS[index % len(LOOKAHEADS)] for index in range(first, first + count)]


@dataclass(frozen=True)
class Difference:
    """A text that is not the one drawn without an assistant.

    `gap` is between the two best perturbed scores where it leaves that text; `edge` is how near
    top-p's sum of probabilities comes there to its limit, infinite without top-p. Either is tiny
    where rounding decides.
    """

    assistant: str
    lookahead: int | str
    case: Case
    place: int
    gap: float
    edge: float

    @property
    def tie(self) -> bool:
        return min(self.gap, self.edge) < 1e-4


@dataclass
class Result:
    """What was compared, by assistant, and what differed."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


def cases(first: int, count: int, max_new_tokens: int) -> list[Case]:
    """The cases from number `first` on; each has a seed of its own."""
    return [
        Case(
            PROMPTS[number % len(PROMPTS)],
            number,
            SHAPES[number % len(SHAPES)] | {"max_new_tokens": max_new_tokens},
        )
        for number in range(first, first + count)
    ]


def load_decoders(dtype: str) -> dict[str, SpeculativeDecoder]:
    """A decoder for each assistant and one for trees of its drafts, around the same target."""
    loaded = {
        name: SpeculativeDecoder.from_pretrained(
            str(MODELS / name), None, trust_remote_code=True, dtype=dtype
        )
        for name in ASSISTANTS
    }
    target = loaded[TARGET]
    return {
        f"{name}{TREES if tree else ''}": SpeculativeDecoder(
            target.model, target.tokenizer, own.model, own.tokenizer, tree=tree
        )
        for name, own in loaded.items()
        for tree in (0, LARGEST_TREE)
    }


def compare(
    decoders: dict[str, SpeculativeDecoder], texts: Iterable[Case], lookaheads: int
) -> Result:
    """Draw each text without an assistant, then with each of them and some lookaheads."""
    some = next(iter(decoders.values()))
    alone = SpeculativeDecoder(some.model, some.tokenizer)
    result = Result({name: Counter() for name in decoders})
    for case in texts:
        expected = case(alone).token_ids
        for name, decoder in decoders.items():
            for lookahead in case.lookaheads(lookaheads):
                decoder.lookahead = lookahead
                out = case(decoder)
                result.counts[name] += counted(out)
                if out.token_ids != expected:
                    place = agreement(out.token_ids, expected)
                    gap, edge = margins(alone, case, expected[:place])
                    found = Difference(name, lookahead, case, place, gap, edge)
                    result.differences.append(found)
    return result


def counted(out: Output) -> Counter[str]:
    """What a run did, to add up."""
    stats = out.stats
    return Counter(
        runs=1,
        tokens=stats.tokens,
        candidates=stats.candidates,
        accepted=stats.accepted,
        beside=sum(done.accepted_beside for done in stats.history),
    )


@torch.inference_mode()
def margins(decoder: SpeculativeDecoder, case: Case, drawn: list[int]) -> tuple[float, float]:
    """How close the draw after `drawn` is, and how close the choice of what may be drawn."""
    prompt = prompt_ids(decoder.tokenizer, case.prompt)
    options = {"do_sample": True} | case.options
    processors = plan_generation(decoder.model, decoder.tokenizer, prompt, options).processors
    ids = torch.tensor([prompt + drawn])
    logits = decoder.model(input_ids=ids).logits[0, -1:].float()
    names = decoder._engine.sampling.target_names
    position = sum(names.moves[id] for id in drawn)
    step = step_keys(sequence_key(case.seed, prompt, 0), [position], logits.device)
    perturbed = processors(ids, logits.clone()) + gumbel(step, names.keys)
    best, second = perturbed[0].topk(2).values.tolist()
    return best - second, top_p_edge(processors, ids, logits)


def main(
    pairs: Annotated[int, typer.Option(min=1, help="pairs of a prompt and a seed")] = 500,
    first: Annotated[int, typer.Option(min=0, help="number of the first pair")] = 0,
    lookaheads: Annotated[
        int, typer.Option(min=1, max=len(LOOKAHEADS), help="for each pair and assistant, in turns")
    ] = len(LOOKAHEADS),
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 40,
    dtype: str = "float32",
) -> None:
    """Draw every text with every assistant, and print what differs from the text drawn without."""
    torch.set_num_threads(1)
    console = Console()
    started = time.monotonic()
    texts = cases(first, pairs, max_new_tokens)
    progress = track(texts, "drawing", console=Console(stderr=True))
    result = compare(load_decoders(dtype), progress, lookaheads)
    table = Table("assistant", "runs", "tokens", "candidates", "accepted", "beside", "different")
    for name, counts in result.counts.items():
        different = sum(difference.assistant == name for difference in result.differences)
        columns = ("runs", "tokens", "candidates", "accepted", "beside")
        numbers = [counts[what] for what in columns]
        table.add_row(name, *(f"{number:,}" for number in [*numbers, different]))
    console.print(table)
    for difference in result.differences:
        console.print("a tie:" if difference.tie else "NO TIE:", difference)
    console.print(
        f"pairs {first} to {first + pairs - 1}, {max_new_tokens} new tokens, {dtype}: "
        f"{len(result.differences)} differences, {time.monotonic() - started:.0f} s"
    )
    if not all(difference.tie for difference in result.differences):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
