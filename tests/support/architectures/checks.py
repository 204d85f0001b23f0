"""What is asked of each model: its text alone, with drafts, in a batch, drawn, and as an assistant."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedModel

import uag
from tests.support.architectures.models import fresh, speaking
from tests.support.architectures.texts import OTHER, TOKENIZER, Texts, generated, greedy
from tests.support.architectures.verdicts import Finding, Verdict
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from tests.support.words import words
from uag import SpeculativeDecoder
from uag.decoding.output import Output
from uag.errors import LogitsError, UagError, UagWarning, _warned

DRAWN: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "top_k": 0, "seed": 5}

# Not about what is checked: all models are about as small.
SIZE = "an assistant larger than its target"


class Nearly:
    """A `uag.Drafter` that knows the texts to come, but for an id every few."""

    def __init__(self, texts: list[list[int]], wrong: int) -> None:
        self._texts, self._wrong = texts, wrong

    def propose(self, text: bytes, ids: Sequence[int], k: int) -> list[int]:
        read = list(ids)
        said = words(TOKENIZER)
        whole = next((each for each in self._texts if each[: len(read)] == read), read)
        return [
            id if at % self._wrong else said[at % len(said)]
            for at, id in enumerate(whole[len(read) : len(read) + k], len(read))
        ]


@dataclass(frozen=True)
class Subject:
    """The model under test: one object for all checks, as a user has, and its true texts."""

    texts: Texts

    @cached_property
    def model(self) -> PreTrainedModel:
        return fresh(self.texts.model)

    def decoder(self, *assistant: Any, **settings: Any) -> SpeculativeDecoder:
        return SpeculativeDecoder(self.model, tokenizer(TOKENIZER), *assistant, **settings)

    def drafting(self, wrong: int, lookahead: int) -> SpeculativeDecoder:
        """With a drafter that is right for a few ids."""
        return self.decoder(Nearly(self.texts.whole, wrong), lookahead=lookahead)


Answer = tuple[Texts, Sequence[Output | list[int]]]


def alone(subject: Subject) -> Answer:
    decoder = subject.decoder()
    return subject.texts, [decoder.generate(subject.texts.prompts[0], **greedy())]


def drafts_of_4(subject: Subject) -> Answer:
    decoder = subject.drafting(5, 4)
    return subject.texts, [decoder.generate(each, **greedy()) for each in subject.texts.prompts]


def drafts_of_20(subject: Subject) -> Answer:
    decoder = subject.drafting(17, 20)
    return subject.texts, [decoder.generate(each, **greedy()) for each in subject.texts.prompts]


def llama_assists(subject: Subject) -> Answer:
    """An assistant with another tokenizer."""
    llama = speaking(random_model("llama", tokenizer(OTHER), 3), words(OTHER))
    decoder = subject.decoder(llama, tokenizer(OTHER), lookahead=4)
    return subject.texts, [decoder.generate(subject.texts.prompts[0], **greedy())]


def assists_llama(subject: Subject) -> Answer:
    """The model as the assistant of one with another tokenizer."""
    llama = random_model("llama", tokenizer(OTHER), 3)
    texts = Texts.of(llama, OTHER, 1)
    assistant = speaking(fresh(subject.texts.model), words(TOKENIZER))
    decoder = SpeculativeDecoder(
        llama, tokenizer(OTHER), assistant, tokenizer(TOKENIZER), lookahead=4, lookup=False
    )
    return texts, [decoder.generate(texts.prompts[0], **greedy(OTHER))]


def batch_of_3(subject: Subject) -> Answer:
    """Prompts of three lengths."""
    decoder = subject.drafting(5, 4)
    return subject.texts, decoder.generate(subject.texts.prompts, **greedy())


def drawn(subject: Subject) -> Answer:
    """The text for a seed, with drafts and without."""
    prompt, options = subject.texts.prompts[0], greedy() | DRAWN
    ids = subject.decoder().generate(prompt, **options).token_ids
    texts = Texts(subject.texts.model, [prompt], [ids])
    decoder = subject.decoder(Nearly(texts.whole, 5), lookahead=4)
    return texts, [decoder.generate(prompt, **options)]


def custom_generate(subject: Subject) -> Answer:
    decoder = subject.drafting(5, 4)
    return subject.texts, [
        generated(subject.model, subject.texts.prompts[0], custom_generate=decoder)
    ]


CHECKS: dict[str, Callable[[Subject], Answer]] = {
    "alone": alone,
    "drafts of 4": drafts_of_4,
    "drafts of 20": drafts_of_20,
    "a Llama assists": llama_assists,
    "assists a Llama": assists_llama,
    "batch of 3": batch_of_3,
    "drawn": drawn,
    "custom_generate": custom_generate,
}


def checked(subject: Subject, name: str) -> Finding:
    """Run one check; whatever is raised is its verdict."""
    started = time.monotonic()
    _warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            finding = _compared(name, *CHECKS[name](subject), caught)
        except UagError as error:
            verdict = Verdict.RAW_ERROR if isinstance(error, LogitsError) else Verdict.REFUSED
            finding = Finding(name, verdict, _told(error))
        except Exception as error:  # noqa: BLE001 - any is a result
            finding = Finding(name, Verdict.RAW_ERROR, f"{_told(error)} ({_place(error)})")
    return Finding(**vars(finding) | {"seconds": round(time.monotonic() - started, 2)})


def _compared(
    name: str, texts: Texts, answers: Sequence[Output | list[int]], caught: list[Any]
) -> Finding:
    outs = [each for each in answers if isinstance(each, Output)]
    ids = [each.token_ids if isinstance(each, Output) else each for each in answers]
    about = {
        "drafted": sum(out.stats.candidates for out in outs),
        "accepted": sum(out.stats.accepted for out in outs),
    }
    partings = [part for row, each in enumerate(ids) if (part := texts.parting(row, each))]
    if wrong := [part for part in partings if not part.tie or name == "drawn"]:
        return Finding(name, Verdict.WRONG, str(wrong[0]), **about)
    if partings:
        return Finding(name, Verdict.TIE, str(partings[0]), **about)
    told = [str(each.message) for each in caught if issubclass(each.category, UagWarning)]
    told = [each for each in told if SIZE not in each]
    told += [out.stats.assistant_error for out in outs if out.stats.assistant_error and not told]
    if told:
        return Finding(name, Verdict.SWITCHED_OFF, "; ".join(dict.fromkeys(told)), **about)
    return Finding(name, Verdict.EXACT, **about)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _place(error: Exception) -> str:
    """The last line of the package that an error passed."""
    place, trace = "outside the package", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(str(uag.__path__[0])):
            place = f"{file.rpartition('/uag/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
