"""The prompts, what `generate` says after them, and whether two texts part at a tie."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from tests.support.architectures.models import fresh
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.words import words
from uag.decoding.verify import agreement

LENGTH = 40

TOKENIZER, OTHER = "gpt2", "llama2"

SENTENCE = "The dog and the girl went to the park, and they saw a big red ball."

PROMPTS = (PROMPT, "One day", f"{SENTENCE} {SENTENCE}")

# Of the spread of scores: two that are nearer than this are level in single precision.
TIE = 1e-4

# A text may not come back to an id so soon.
GAP = 16


class Varied(LogitsProcessor):
    """Allows only some words, and none of those just said.

    A random model repeats one id, and then the text is right however wrong its state is. The best
    of the words that are left are closer to each other, so that a text shows smaller differences.
    """

    def __init__(self, words: list[int]) -> None:
        self._words = words

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        allowed = torch.full_like(scores, -torch.inf)
        allowed[:, self._words] = scores[:, self._words]
        return allowed.scatter(1, input_ids[:, -GAP:].to(scores.device), -torch.inf)


@dataclass(frozen=True)
class Texts:
    """A model that has read nothing, prompts, options, and its true texts after the prompts."""

    model: PreTrainedModel
    prompts: list[list[int]]
    options: dict[str, Any]
    said: list[list[int]]

    @classmethod
    def of(cls, model: PreTrainedModel, name: str = TOKENIZER, count: int = 3) -> Self:
        """The first `count` prompts, each read by a model that has read nothing before."""
        prompts = [tokenizer(name)(text)["input_ids"] for text in PROMPTS[:count]]
        options = greedy(name)
        said = [generated(fresh(model), prompt, options) for prompt in prompts]
        if {*said[0]} - {*words(name)}:  # a `generate` of its own forgets processors (Janus)
            del options["logits_processor"]
            said = [generated(fresh(model), prompt, options) for prompt in prompts]
        return cls(model, prompts, options, said)

    @property
    def whole(self) -> list[list[int]]:
        """Prompts and texts together."""
        return [prompt + text for prompt, text in zip(self.prompts, self.said, strict=True)]

    @property
    def variety(self) -> int:
        """Distinct ids in the least varied text."""
        return min(len(set(text)) for text in self.said)

    def parting(self, row: int, ids: list[int]) -> "Parting | None":
        """Where other ids than the true ones come after a prompt."""
        if ids == self.said[row]:
            return None
        place = agreement(ids, self.said[row])
        pair = [*ids[place : place + 1], *self.said[row][place : place + 1]]
        near = len(pair) == 2 and self._level(self.whole[row], row, place, pair)
        return Parting(row, place, pair, tie=near)

    @torch.inference_mode()
    def _level(self, whole: list[int], row: int, place: int, pair: list[int]) -> bool:
        """Whether two ids are as good as each other to the model, without a cache."""
        ids = torch.tensor([whole[: len(self.prompts[row]) + place]])
        try:
            logits = fresh(self.model)(input_ids=ids, use_cache=False).logits[0, -1].float()
        except (RuntimeError, TypeError, ValueError, AttributeError):
            return False  # the model does not run so
        rounding = 4 * torch.finfo(logits.dtype).eps * float(logits.abs().max())
        return abs(float(logits[pair[0]] - logits[pair[1]])) <= TIE * float(logits.std()) + rounding


@dataclass(frozen=True)
class Parting:
    """Two texts part here: `pair` has the id that came, then the true one."""

    row: int
    place: int
    pair: list[int]
    tie: bool

    def __str__(self) -> str:
        pair = " in place of ".join(map(str, self.pair))
        return f"text {self.row}, place {self.place} of {LENGTH}: {pair}"


def greedy(name: str) -> dict[str, Any]:
    """The options of greedy texts in the words of a tokenizer."""
    processors = LogitsProcessorList([Varied(words(name))])
    return {"max_new_tokens": LENGTH, "do_sample": False, "logits_processor": processors}


def generated(model: PreTrainedModel, prompt: list[int], options: dict[str, Any]) -> list[int]:
    """What transformers itself generates: the new ids."""
    ids = torch.tensor([prompt])
    generate: Any = model.generate
    out = generate(ids, attention_mask=torch.ones_like(ids), **options)
    return out[0, len(prompt) :].tolist()
