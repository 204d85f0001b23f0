"""The models of a case."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.support.matrix.cases import OWN, REAL, REAL_ASSISTANTS, Case
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from tests.support.words import words
from uag import SpeculativeDecoder


@dataclass
class Pair:
    """The two models of a case."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    assistant: Any
    other: PreTrainedTokenizerFast
    script: "ScriptedLogits | None" = None


class ScriptedLogits:
    """What follows each token, for a model that says so: a hook on its logits."""

    def __init__(self, model: PreTrainedModel, ids: int) -> None:
        self.table = torch.zeros(ids, ids, dtype=torch.float64)
        model.register_forward_hook(self._add, with_kwargs=True)

    def set_texts(self, texts: list[list[int]]) -> None:
        """After each token comes what first came after it in `texts`, or for a fifth itself."""
        self.table.zero_()
        for text in texts:
            for id, after in pairwise(text):
                if not self.table[id].any():
                    self.table[id, id] = 0 if id % 5 else 41
                    self.table[id, after] = 40

    def _add(self, _: Any, inputs: Any, named: dict[str, Any], output: Any) -> Any:
        ids = named["input_ids"][:, -output.logits.shape[1] :]
        output.logits = output.logits + self.table[ids].to(output.logits.dtype)
        return output


def models(case: Case) -> Pair:
    """Made once for each kind; the weights are those of a few seeds."""
    seed = case.seed % 3
    if case.target in trained():
        target, words_of_target = trained()[case.target]()
    else:
        words_of_target = tokenizer(case.tokenizer)
        target = model_of_words(case.target, case.tokenizer, seed)
    pair = Pair(target, words_of_target, None, words_of_target)
    match case.assistant:
        case "itself":
            pair.assistant = target
        case "lookup" | "drafter" | "nobody":
            if case.other != OWN:
                pair.other = tokenizer(case.other)
        case name if name in trained():
            pair.assistant, pair.other = trained()[name]()
        case name:
            pair.other = tokenizer(case.other)
            pair.assistant, pair.script = scripted_model(name, case.other, seed)
    return pair


@lru_cache(256)
def model_of_words(architecture: str, name: str, seed: int) -> PreTrainedModel:
    """A model with random weights that says `words` nearly always."""
    model = _random(architecture, name, seed)
    said = torch.zeros(len(tokenizer(name)), 1, dtype=model.dtype)
    said[words(name)] = 1
    with torch.no_grad():
        model.get_output_embeddings().weight *= 0.1 + said
    return model


@lru_cache(256)
def scripted_model(
    architecture: str, name: str, seed: int
) -> tuple[PreTrainedModel, ScriptedLogits]:
    """A model that can be told what follows."""
    model = _random(architecture, name, seed + 10)
    return model, ScriptedLogits(model, len(tokenizer(name)))


def _random(architecture: str, name: str, seed: int) -> PreTrainedModel:
    model = random_model(architecture, tokenizer(name), seed)
    # Otherwise experts are multiplied in single precision.
    model.set_experts_implementation("eager")
    return model.double()


Trained = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerFast]]

_folders: list[Path] = []


def look_in(folder: Path) -> None:
    """Have the trained models of a folder, too."""
    _folders.append(folder)
    trained.cache_clear()


@cache
def trained() -> dict[str, Trained]:
    """The trained models that there are: those of the demo, and those in a folder."""
    found: dict[str, Trained] = {
        "demo": partial(_demo, "target"),
        "demo-assistant": partial(_demo, "assistant"),
    }
    for folder in _folders:
        for name in {*REAL, *REAL_ASSISTANTS} - {*found}:
            if (folder / name).is_dir():
                found[name] = partial(_loaded, str(folder / name))
    return found


@cache
def _demo(role: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    from uag.demo import demo_decoder

    decoder = demo_decoder(lookahead=4)
    if role == "target":
        return decoder.model.double(), decoder.tokenizer  # type: ignore[return-value]
    return decoder.assistant.double(), decoder.assistant_tokenizer  # type: ignore[union-attr]


@cache
def _loaded(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    decoder = SpeculativeDecoder.from_pretrained(
        path, None, trust_remote_code=True, dtype="float64"
    )
    return decoder.model, decoder.tokenizer  # type: ignore[return-value]
