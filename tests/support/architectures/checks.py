"""What is asked of each model: its text alone, with drafts, in a batch, drawn, as an assistant."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from transformers import PreTrainedModel

import uag
from tests.support.architectures.models import fresh, speaking
from tests.support.architectures.texts import OTHER, PROMPTS, TOKENIZER, Texts, generated, greedy
from tests.support.architectures.verdicts import Finding, Verdict
from tests.support.models import random_model
from tests.support.scripted import draft_from
from tests.support.tokenizers import tokenizer
from tests.support.words import words
from uag import SpeculativeDecoder
from uag.decoding.output import Output
from uag.draft import Draft, DraftTree
from uag.drafting.sides import Opening
from uag.drafting.source import DraftSource
from uag.errors import LogitsError, UagError, UagWarning, _warned

DRAWN: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "top_k": 0, "seed": 5}

# Not about the texts: all models are about as small, some texts outgrow a window, and some models
# cannot share passes.
BESIDE = (
    "an assistant larger than its target",
    "longer than the target's window",
    "the texts of a call are decoded one after the other",
    "prompts with images are decoded one after the other",
)


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


class Beside(DraftSource):
    """A `DraftSource` that is wrong every third id, with the right one beside it."""

    def __init__(self, texts: list[list[int]], prompt: list[int], *, branches: bool) -> None:
        self._drafted, self._right = Nearly(texts, 3), Nearly(texts, 1000)
        self._ids, self._branches = list(prompt), branches

    def draft(self, k: int, goes_on: object = None) -> Draft:
        del goes_on
        ids, right = (each.propose(b"", self._ids, k) for each in (self._drafted, self._right))
        self._ids += ids
        places = [
            [(id, 0.6)] + [(other, 0.4)] * (other != id)
            for id, other in zip(ids, right, strict=True)
        ]
        return Draft(ids, tree=DraftTree.comb(places) if self._branches else None)

    def apply(self, keep: int, feed: list[int]) -> None:
        self._ids = self._ids[:keep] + feed


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


# What came after each prompt, to be compared with the true texts.
Answer = tuple[Texts, Sequence[Output | list[int] | UagError]]


def alone(subject: Subject) -> Answer:
    return subject.texts, _each(subject.decoder(), subject.texts)


def drafts_of_4(subject: Subject) -> Answer:
    return subject.texts, _each(subject.drafting(5, 4), subject.texts)


def drafts_of_20(subject: Subject) -> Answer:
    return subject.texts, _each(subject.drafting(17, 20), subject.texts)


def trees(subject: Subject) -> Answer:
    """Drafts of which some are wrong where an id beside them is right."""
    whole, words_of = subject.texts.whole, tokenizer(TOKENIZER)
    assistant = random_model("llama", words_of)
    decoder = subject.decoder(assistant, words_of, lookahead=4, lookup=False, tree=15)

    def source(opening: Opening) -> Beside:
        return Beside(whole, opening.prompt, branches=opening.scoring is not None)

    if decoder.assistant is not None:  # else drafts are switched off
        draft_from(decoder, source)
    return subject.texts, _each(decoder, subject.texts)


def _each(decoder: SpeculativeDecoder, texts: Texts) -> list[Output | UagError]:
    """The texts after all prompts, of which some may be refused."""
    outs: list[Output | UagError] = []
    for prompt in texts.prompts:
        try:
            outs.append(decoder.generate(prompt, **texts.options))
        except UagError as error:
            outs.append(error)
    return outs


def llama_assists(subject: Subject) -> Answer:
    """An assistant with another tokenizer."""
    llama = speaking(random_model("llama", tokenizer(OTHER), 3), words(OTHER))
    decoder = subject.decoder(llama, tokenizer(OTHER), lookahead=4)
    return subject.texts, [decoder.generate(subject.texts.prompts[0], **subject.texts.options)]


def assists_llama(subject: Subject) -> Answer:
    """The model as the assistant of one with another tokenizer."""
    texts = llama_texts()
    assistant = speaking(fresh(subject.texts.model), words(TOKENIZER))
    decoder = SpeculativeDecoder(
        fresh(texts.model),
        tokenizer(OTHER),
        assistant,
        tokenizer(TOKENIZER),
        lookahead=4,
        lookup=False,
    )
    return texts, [decoder.generate(texts.prompts[0], **texts.options)]


@cache
def llama_texts() -> Texts:
    """What the target of `assists_llama` says by itself."""
    return Texts.of(random_model("llama", tokenizer(OTHER), 3), OTHER, 1)


def batch(subject: Subject) -> Answer:
    """Prompts of three lengths."""
    decoder = subject.drafting(5, 4)
    return subject.texts, decoder.generate(subject.texts.prompts, **subject.texts.options)


def drawn(subject: Subject) -> Answer:
    """The text for a seed, with drafts and without."""
    prompt, options = subject.texts.prompts[0], greedy(TOKENIZER) | DRAWN
    ids = subject.decoder().generate(prompt, **options).token_ids
    texts = Texts(subject.texts.model, [prompt], options, [ids])
    decoder = subject.decoder(Nearly(texts.whole, 5), lookahead=4)
    return texts, [decoder.generate(prompt, **options)]


def custom_generate(subject: Subject) -> Answer:
    texts = subject.texts
    options = texts.options | {"custom_generate": subject.drafting(5, 4)}
    return texts, [generated(subject.model, texts.prompts[0], options)]


def pipeline(subject: Subject) -> Answer:
    """transformers' pipeline for texts, with drafts."""
    texts = subject.texts
    pipe = uag.pipeline(
        model=subject.model,
        tokenizer=tokenizer(TOKENIZER),
        assistant_model=Nearly(texts.whole, 5),
        lookahead=4,
        prefix="",  # XLNet gets a long one by default
    )
    (out,) = pipe(PROMPTS[0], return_tensors=True, **texts.options)
    return texts, [out["generated_token_ids"][len(texts.prompts[0]) :]]


CHECKS: dict[str, Callable[[Subject], Answer]] = {
    "alone": alone,
    "drafts of 4": drafts_of_4,
    "drafts of 20": drafts_of_20,
    "trees": trees,
    "a Llama assists": llama_assists,
    "assists a Llama": assists_llama,
    "batch": batch,
    "drawn": drawn,
    "custom_generate": custom_generate,
    "pipeline": pipeline,
}


def checked(
    subject: Subject, name: str, checks: Mapping[str, Callable[[Any], Answer]] = CHECKS
) -> Finding:
    """Run one of the checks; whatever is raised is its verdict."""
    started = time.monotonic()
    _warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            finding = _compared(name, *checks[name](subject), caught)
        except UagError as error:
            finding = Finding(name, _verdict(error), _told(error))
        except Exception as error:  # noqa: BLE001 - any is a result
            finding = Finding(name, Verdict.RAW_ERROR, f"{_told(error)} ({_place(error)})")
    return Finding(**vars(finding) | {"seconds": round(time.monotonic() - started, 2)})


def _compared(
    name: str, texts: Texts, answers: Sequence[Output | list[int] | UagError], caught: list[Any]
) -> Finding:
    """The worst that there is to say of the answers."""
    outs = [each for each in answers if isinstance(each, Output)]
    said = [(Verdict.SWITCHED_OFF, each) for each in _warnings(caught, outs)]
    for row, answer in enumerate(answers):
        if isinstance(answer, UagError):
            said.append((_verdict(answer), _told(answer)))
        elif parting := texts.parting(
            row, answer.token_ids if isinstance(answer, Output) else answer
        ):
            tie = parting.tie and name != "drawn"  # which has other scores
            said.append((Verdict.TIE if tie else Verdict.WRONG, str(parting)))
    verdict, message = max(said, key=lambda each: each[0].badness, default=(Verdict.EXACT, ""))
    return Finding(
        name,
        verdict,
        message,
        drafted=sum(out.stats.candidates for out in outs),
        accepted=sum(out.stats.accepted for out in outs),
        beside=sum(done.accepted_beside for out in outs for done in out.stats.history),
    )


def _warnings(caught: list[Any], outs: list[Output]) -> list[str]:
    """What was switched off, and what ended an assistant, as one message."""
    told = [str(each.message) for each in caught if issubclass(each.category, UagWarning)]
    told = [each for each in told if not any(words in each for words in BESIDE)]
    told = told or [out.stats.assistant_error for out in outs if out.stats.assistant_error]
    return ["; ".join(dict.fromkeys(told))] if told else []


def _verdict(error: UagError) -> Verdict:
    """What could have been refused at once is; logits that are no numbers could not."""
    return Verdict.RAW_ERROR if isinstance(error, LogitsError) else Verdict.REFUSED


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
