"""What a case asks for: prompts and options of generation."""

from random import Random
from typing import Any

from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tests.support.matrix.cases import OWN, Case
from tests.support.matrix.models import Pair
from tests.support.tokenizers import PROMPT
from tests.support.words import words

LENGTH = 20

STORY = "The dog and the girl went to the park, and they saw a big red ball."

PROMPTS = (PROMPT, "One day", f"{STORY} {STORY}")

DRAWS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "coupled": {"do_sample": True, "temperature": 0.5, "top_k": 0},
    "top-p": {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.9},
    "rejection": {"do_sample": True, "temperature": 0.5, "top_k": 0},
}


def prompts_of(case: Case, pair: Pair) -> list[list[int]]:
    if case.texts == "ids":
        random = Random(case.seed)
        return [[random.randrange(3, len(pair.tokenizer)) for _ in range(9)]]
    texts = PROMPTS if case.texts in ("several", "fewer") else PROMPTS[:1]
    return [pair.tokenizer(text)["input_ids"] for text in texts]


class Shifts(LogitsProcessor):
    """Looks at the last id and the length."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, input_ids.shape[1] % 7 :: 7] += 0.3 * (input_ids[:, -1:] % 5)
        return scores


class Ends(StoppingCriteria):
    """Ends a text after one of some ids."""

    def __init__(self, id: int) -> None:
        self.id = id

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return input_ids[:, -1] == self.id


def processor_options(case: Case, pair: Pair) -> dict[str, Any]:
    size = len(pair.tokenizer)
    said = words(case.tokenizer) if case.tokenizer != OWN else [*range(10, size, 7)]
    match case.processor:
        case "repetition":
            return {"repetition_penalty": 1.3}
        case "ngrams":
            return {"no_repeat_ngram_size": 2}
        case "bias":
            return {"sequence_bias": [[[said[0]], -5.0], [[said[1]], 2.0], [said[2:4], 2.0]]}
        case "allowed":
            return {"prefix_allowed_tokens_fn": lambda _, ids: said[len(ids) % 3 :: 2]}
        case "custom":
            return {"logits_processor": LogitsProcessorList([Shifts()])}
        case _:
            return {}


def end_options(case: Case, pair: Pair, text: list[int]) -> dict[str, Any]:
    last = text[min(len(text) - 1, 5 + case.seed % 9)]
    match case.end:
        case "eos":
            return {"eos_token_id": [last]}
        case "later-eos":
            return {"eos_token_id": [last], "min_new_tokens": LENGTH // 2}
        case "stop":
            spelled = pair.tokenizer.decode(text[4:7])
            stop = "".join(char for char in spelled if char.isprintable() and char != "\ufffd")
            return {"stop_strings": [stop.strip()[:3] or "never"]}
        case "criterion":
            return {"stopping_criteria": StoppingCriteriaList([Ends(last)])}
        case _:
            return {}
