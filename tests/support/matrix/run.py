"""One case of the matrix: its models, what the text must be, and what it is.

The target has random weights, but those of its last layer have it say tokens whose texts are
spelled as its tokenizer does; so a draft can be right, and every choice hangs on the states that
the cache holds. The assistant is told, token by token, what follows in the texts to come; for every
fifth token something else is likelier. So it is often right, and elsewhere a sibling may be.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial

from tests.support.matrix.calls import asking_for_static_cache, call_for
from tests.support.matrix.cases import Case, makes_sense, refusals
from tests.support.matrix.drafters import decoder_for
from tests.support.matrix.models import models
from tests.support.matrix.options import DRAWS, LENGTH, end_options, processor_options, prompts_of
from tests.support.matrix.reference import expected, margin
from uag.batching.session import TARGET
from uag.decoding.verify import agreement

# Of two scores that rounding may swap: models that compute in single precision do, here and there.
TIE = 1e-4


@dataclass
class Outcome:
    """What became of a case.

    Attributes:
        texts: how many were compared.
        beside: how many candidates were accepted that are none of the drafted ids.
        refused: the error, if it is the one that is documented.
        difference: where and how the text is another one, or what went wrong; empty if nothing did.
        tie: whether rounding explains the difference.
        engine: how the target ran.
    """

    case: Case
    texts: int = 0
    tokens: int = 0
    candidates: int = 0
    accepted: int = 0
    beside: int = 0
    refused: str = ""
    difference: str = ""
    tie: bool = False
    engine: str = ""

    @property
    def failed(self) -> bool:
        """Whether losslessness is broken."""
        return bool(self.difference) and not self.tie


def run(case: Case) -> Outcome:
    """Decode what the case says, and compare it with the slow, obvious way."""
    outcome = Outcome(case)
    expected_errors = refusals(case)
    try:
        _compare(case, outcome)
    except Exception as error:  # noqa: BLE001 - any is a result
        text = f"{type(error).__name__}: {error}"
        if any(isinstance(error, kind) and part in text for kind, part in expected_errors):
            outcome.refused = text
        else:
            outcome.difference = text
    else:
        if expected_errors and not outcome.difference:
            outcome.difference = f"not refused: {expected_errors[0][1]}"
    return outcome


def _compare(case: Case, outcome: Outcome) -> None:
    pair = models(case)
    prompts = prompts_of(case, pair)
    options = DRAWS[case.draws] | {"max_new_tokens": LENGTH} | processor_options(case, pair)
    if refusals(case):
        decoder = decoder_for(case, pair, [])
        call_for(case, decoder, prompts, options | {"max_new_tokens": 4})
        return
    if pair.script:
        pair.script.set_texts([])
    texts = [expected(case, pair, prompts, options, row)[0] for row in range(len(prompts))]
    options |= end_options(case, pair, texts[0])
    texts = [prompt + text for prompt, text in zip(prompts, texts, strict=True)]
    decoder = decoder_for(case, pair, texts)
    if case.by_rejection:
        decoder = partial(decoder_for, case, pair, texts)
    right = [
        each
        for row in range(len(prompts))
        for each in expected(case, pair, prompts, options, row, decoder)
    ]
    decoder = decoder_for(case, pair, texts)
    with asking_for_static_cache(pair.model, case):
        outs = call_for(case, decoder, prompts, options)
    stats = [out.stats for out in outs]
    outcome.texts = len(outs)
    outcome.tokens = sum(len(out.token_ids) for out in outs)
    outcome.candidates = sum(each.candidates for each in stats)
    outcome.accepted = sum(each.accepted for each in stats)
    outcome.beside = sum(done.accepted_beside for each in stats for done in each.history)
    outcome.engine = stats[0].engines.get(TARGET, "")
    assert len(outs) == len(right)
    if fault := next((each.assistant_error for each in stats if each.assistant_error), ""):
        outcome.difference = f"the assistant failed: {fault}"
    compiled = outcome.engine == "compiled"
    branches = case.branches and not compiled
    # What cannot be compiled has trees, unless that is found out too late.
    known = case.tree != "0" and (compiled or case.engine == "eager")
    if known and any(bool(each.chains) == branches for each in stats):
        outcome.difference = f"the drafts are no {'trees' if branches else 'chains'}"
    for index, (out, ids) in enumerate(zip(outs, right, strict=True)):
        if out.token_ids != ids:
            place = agreement(out.token_ids, ids)
            row = index * len(prompts) // len(outs)
            count = index - row * len(outs) // len(prompts)
            near = margin(case, pair, prompts[row], ids[:place], options, count)
            outcome.tie = near < TIE
            outcome.difference = (
                f"text {index}, place {place}: {out.token_ids[place : place + 3]} "
                f"in place of {ids[place : place + 3]}, margin {near:.2g}"
            )
            return


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A case that fails with as many of its values as can be those of the plainest case."""
    plain = Case()
    for field in fields(Case):
        simpler = replace(case, **{field.name: getattr(plain, field.name)})
        if simpler != case and makes_sense(simpler) and fails(simpler):
            case = simpler
    return case


def counted(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """What cases come to. `idle` are those that should draft and had no candidate accepted.

    >>> counted([Outcome(Case(), texts=1, tokens=9, candidates=4, accepted=3)])["idle"]
    0
    """
    ran = list(outcomes)
    compared = [each for each in ran if each.texts]
    return {
        "cells": len(ran),
        "refused": sum(bool(each.refused) for each in ran),
        "texts": sum(each.texts for each in ran),
        "tokens": sum(each.tokens for each in ran),
        "candidates": sum(each.candidates for each in ran),
        "accepted": sum(each.accepted for each in ran),
        "beside": sum(each.beside for each in ran),
        "idle": sum(each.case.drafts and not each.accepted for each in compared),
        "ties": sum(each.tie for each in ran),
        "different": sum(each.failed for each in ran),
    }
