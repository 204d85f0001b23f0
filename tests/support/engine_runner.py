"""A small engine that runs a target itself and asks for candidates, as vLLM and llama.cpp do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import torch
from hypothesis import strategies as st

from tests.support.models import plain_ids
from uag.decoding.verify import agreement
from uag.models.loading.by_name import load_model, load_tokenizer

# Beginnings of prompts; they are cut inside characters, and the last one is long.
TEXTS = [
    "Once upon a time, there was a little girl named Lily. She 🎉",
    "One day, 漢字 and Tim",
    "naïve 🦊🦊 fox",
    "Tim and Lily went to the park. They saw a big dog. " * 4,
]
# Ids that each request gets.
LENGTH = 16

Propose = Callable[[list[list[int]], list[int]], list[list[int]]]


@cache
def demo(role: str) -> tuple[Any, Any]:
    """A model of the demo pair, in numbers that rounding does not matter in, and its tokenizer."""
    with as_file(files("uag") / "demo_pair" / role) as folder:
        return load_model(folder, dtype=torch.float64), load_tokenizer(folder)


@cache
def prompt(text: int, cut: int) -> tuple[int, ...]:
    """A text's ids, without the last few."""
    ids = demo("target")[1](TEXTS[text])["input_ids"]
    return tuple(ids[: max(1, len(ids) - cut)])


@cache
def expected(prompt: tuple[int, ...]) -> list[int]:
    """What `generate` gives."""
    return plain_ids(demo("target")[0], list(prompt), max_new_tokens=LENGTH, eos_token_id=10**6)


@dataclass(eq=False)
class Request:
    """A prompt, and all ids so far."""

    prompt: tuple[int, ...]
    ids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Lose what was emitted."""
        self.ids = list(self.prompt)

    @property
    def output(self) -> list[int]:
        return self.ids[len(self.prompt) :]

    @property
    def room(self) -> int:
        return LENGTH - len(self.output)


@dataclass(frozen=True)
class Moment:
    """What happens before a pass.

    Attributes:
        absent: numbers of the requests that are preempted.
        turn: by how many places the rows move.
        restarted: number of a request that begins again.
        limit: most candidates.
    """

    absent: frozenset[int] = frozenset()
    turn: int = 0
    restarted: int | None = None
    limit: int = 5


requests = st.lists(
    st.builds(prompt, st.integers(0, len(TEXTS) - 1), st.integers(0, 2)), min_size=1, max_size=4
)
moments = st.lists(
    st.builds(
        Moment,
        st.frozensets(st.integers(0, 4), max_size=2),
        st.integers(0, 4),
        st.none() | st.none() | st.integers(0, 4),
        st.sampled_from([0, 2, 5]),
    ),
    max_size=8,
)


class Runner:
    """Decodes requests greedily; `passes` counts those of each row."""

    def __init__(self, prompts: Sequence[tuple[int, ...]]) -> None:
        self.requests = [Request(each) for each in prompts]
        self.passes = self.tokens = 0

    def run(self, propose: Propose, moments: Sequence[Moment] = ()) -> None:
        """Decode all requests to their ends; after the last of `moments` nothing moves."""
        for moment in moments:
            self._step(propose, moment)
        while any(each.room for each in self.requests):
            self._step(propose, Moment())

    def _step(self, propose: Propose, moment: Moment) -> None:
        for number, each in enumerate(self.requests):
            if number == moment.restarted:
                each.restart()
        rows = [
            each
            for number, each in enumerate(self.requests)
            if each.room and number not in moment.absent
        ]
        rows = rows[moment.turn :] + rows[: moment.turn]
        limits = [min(moment.limit, each.room - 1) for each in rows]
        for row, candidates in zip(rows, propose([row.ids for row in rows], limits), strict=True):
            emitted = verified(tuple(row.ids), tuple(candidates))
            row.ids = [*row.ids, *emitted]
            self.passes += 1
            self.tokens += len(emitted)


@cache
@torch.no_grad()
def verified(ids: tuple[int, ...], candidates: tuple[int, ...]) -> list[int]:
    """One pass of the target: the candidates that it would have chosen, and one id of its own."""
    logits = demo("target")[0](torch.tensor([ids + candidates])).logits[0]
    chosen: list[int] = logits[len(ids) - 1 :].argmax(-1).tolist()
    return chosen[: agreement(chosen, list(candidates)) + 1]
