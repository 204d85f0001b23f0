"""Everything that the tiny target may say, with its probability: all texts of three tokens."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tests.support.exactness.tiny_lm import END, TinyLM
from uag.sampling import noise
from uag.sampling.coupled import TokenNames, sequence_key

Ids = tuple[int, ...]

LENGTH = 3  # new tokens of a text, fewer if it ends itself

PROMPT = [1, 2]

SETTINGS: dict[str, dict[str, Any]] = {
    "temperature 1": {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
    "temperature 0.7, top-p 0.9, top-k 5": {"temperature": 0.7, "top_k": 5, "top_p": 0.9},
}


@dataclass(frozen=True)
class Table:
    """Everything that the target may say after the prompt, enumerated.

    Attributes:
        model: the target.
        settings: its sampling options.
    """

    model: TinyLM
    settings: dict[str, Any]

    @cached_property
    def warpers(self) -> LogitsProcessorList:
        """In transformers' order."""
        settings = self.settings
        chosen = LogitsProcessorList([TemperatureLogitsWarper(settings["temperature"])])
        if settings["top_k"]:
            chosen.append(TopKLogitsWarper(settings["top_k"]))
        if settings["top_p"] < 1:
            chosen.append(TopPLogitsWarper(settings["top_p"]))
        return chosen

    @cached_property
    def beginnings(self) -> list[Ids]:
        """Every text that goes on, itself in front of what follows it."""
        letters = range(END + 1, self.model.config.vocab_size)
        levels: list[list[Ids]] = [[()]]
        for _ in range(LENGTH - 1):
            levels.append([(*text, id) for text in levels[-1] for id in letters])
        return [text for level in levels for text in level]

    @cached_property
    def logits(self) -> Tensor:
        """What follows each of them, each from a forward pass of its own: float64."""
        texts = [torch.tensor([[*PROMPT, *text]]) for text in self.beginnings]
        return torch.cat([self.model(text).logits[:, -1] for text in texts])

    def probabilities(self) -> dict[Ids, float]:
        """The probability of every text, in double precision."""
        chances = self.warpers(None, self.logits.clone()).softmax(-1)
        reached = {(): 1.0}
        whole: dict[Ids, float] = {}
        for text, row in zip(self.beginnings, chances.tolist(), strict=True):
            for id, chance in enumerate(row):
                following = (*text, id)
                ends = id == END or len(following) == LENGTH
                (whole if ends else reached)[following] = reached[text] * chance
        return whole

    @cached_property
    def scores(self) -> Tensor:
        """What the decoder adds noise to: float32."""
        return self.warpers(None, self.logits.float())

    @cached_property
    def children(self) -> Tensor:
        """The row of each text with each id added; -1 if that ends it."""
        ids = range(self.model.config.vocab_size)
        return torch.tensor(
            [[self.rows.get((*text, id), -1) for id in ids] for text in self.beginnings]
        )

    def likeliest(self, text: Ids) -> Ids:
        """The text with the likeliest id added, again and again, until it ends."""
        while text in self.rows:
            text = (*text, self.favourites[self.rows[text]])
        return text

    @cached_property
    def favourites(self) -> list[int]:
        """The likeliest id after each of `beginnings`."""
        return self.scores.argmax(-1).tolist()

    @cached_property
    def rows(self) -> dict[Ids, int]:
        """Where each of `beginnings` stands."""
        return {text: row for row, text in enumerate(self.beginnings)}

    def draw(self, names: TokenNames, keys: Tensor) -> list[Ids]:
        """A text for each sequence key, drawn as the decoder should draw it."""
        rows, places = torch.zeros_like(keys), torch.zeros_like(keys)
        columns: list[Tensor] = []
        for _ in range(LENGTH):
            steps = noise.step_keys(keys, places, keys.device)
            perturbed = self.scores[rows] + noise.gumbel(steps, names.keys)
            ids = perturbed.argmax(-1).where(rows >= 0, -1)
            columns.append(ids)
            rows = self.children[rows, ids].where(rows >= 0, -1)
            places += names.lengths[ids]
        texts = torch.stack(columns, -1).tolist()
        return [tuple(id for id in text if id >= 0) for text in texts]


def sequence_keys(seed: int, count: int) -> list[int]:
    """The keys of that many continuations of the prompt."""
    return [sequence_key(seed, PROMPT, index) for index in range(count)]
