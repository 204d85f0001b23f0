"""A sample of the campaign over every architecture: the oddest and the newest.

`python -m tests.campaigns.architectures` is the whole of it.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.support.architectures.checks import Subject, checked
from tests.support.architectures.kinds import CAUSAL, MULTIMODAL, ODD, VARIANT, group_of, kinds
from tests.support.architectures.models import OWN, Weights, tiny_model
from tests.support.architectures.report import report
from tests.support.architectures.run import Task, run_all
from tests.support.architectures.texts import TOKENIZER, Texts
from tests.support.architectures.verdicts import Case, Finding, Verdict
from tests.support.tokenizers import tokenizer

SAMPLE = kinds()[:32]

# One for each kind, in turns.
WEIGHTS = (Weights(0.3), Weights(0.15, -10), Weights(OWN))

CHECKS = ("drafts of 4", "trees", "batch")

# Of every second kind: takes longer than all the others.
ASSISTS = "assists a Llama"


@cache
def case_for(kind: str) -> Case:
    """One of the sample. Each alone: whichever process of the tests gets it computes no others."""
    at = SAMPLE.index(kind)
    checks = CHECKS if at % 2 else (*CHECKS, ASSISTS)
    (case,) = run_all([Task(kind, WEIGHTS[at % len(WEIGHTS)], checks, prompts=2)], 1)
    return case


def cases() -> list[Case]:
    return [case_for(kind) for kind in SAMPLE]


@pytest.mark.parametrize("kind", SAMPLE)
def test_the_text_is_that_of_generate(kind: str) -> None:
    case = case_for(kind)
    failed = [each for each in case.findings if each.verdict.failed]
    assert not failed, f"{case.weights}: {failed}"


def test_the_sample_is_a_sample() -> None:
    """Most are made and drafts for them are taken, so that the test above can fail."""
    made = [case for case in cases() if case.worst is not Verdict.NOT_BUILT]
    assert len(made) >= 26
    drafted = [case for case in made if any(each.accepted for each in case.findings)]
    assert len(drafted) > len(made) / 2
    assert min(case.variety for case in made) >= 12


def test_trees_are_accepted_or_it_is_said_which_class_reads_none() -> None:
    found = [
        (case.architecture, each)
        for case in cases()
        for each in case.findings
        if each.check == "trees"
    ]
    chains = [(name, each) for name, each in found if not each.beside]
    assert len(found) - len(chains) > 7
    for name, each in chains:
        assert each.verdict is Verdict.SWITCHED_OFF and name in each.message


def test_every_odd_kind_is_known() -> None:
    assert not {*ODD} - {*kinds()}
    groups = [group_of(kind) for kind in ("phi3", "phi3-longrope", "paligemma")]
    assert groups == [CAUSAL, VARIANT, MULTIMODAL]


def other_text(std: float) -> Finding:
    """The check of a text of which two ids in the middle have changed places."""
    texts = Texts.of(tiny_model("llama", len(tokenizer(TOKENIZER)), Weights(std)), count=1)
    ids = [*texts.said[0]]
    ids[5], ids[6] = ids[6], ids[5]
    return checked(Subject(replace(texts, said=[ids])), "alone")


def test_another_text_is_wrong() -> None:
    finding = other_text(0.3)
    assert finding.verdict is Verdict.WRONG
    assert finding.message.startswith("text 0, place 5 of 40")


def test_another_text_is_a_tie_where_the_model_has_no_preference() -> None:
    assert other_text(0.0).verdict is Verdict.TIE


def test_a_process_has_limits_and_a_kind_may_be_unknown() -> None:
    (late,) = run_all([Task("llama", Weights())], 1, seconds=0)
    assert late.worst is Verdict.RAW_ERROR
    (unknown,) = run_all([Task("no such kind", Weights())], 1)
    assert unknown.worst is Verdict.NOT_BUILT


def finding(verdict: Verdict, message: str = "") -> Finding:
    return Finding("alone", verdict, message)


def case_of(kind: str, weights: str, *findings: Finding) -> Case:
    return Case(kind, weights, CAUSAL, findings=[*findings])


def test_the_worst_check_is_the_verdict() -> None:
    case = case_of("llama", "std 0.3", finding(Verdict.REFUSED), finding(Verdict.WRONG, "place 3"))
    assert case.worst is Verdict.WRONG and case.worst.failed
    assert not Verdict.TIE.failed and not Verdict.NOT_BUILT.failed


def test_a_case_can_be_written_and_read() -> None:
    case = case_of("llama", "std 0.3", finding(Verdict.SWITCHED_OFF, "no drafts"))
    values: dict[str, Any] = case.as_json()
    assert values["verdict"] == "switched off"
    assert Case.from_json(values) == case


def test_the_report_counts_all_and_names_what_is_not_exact() -> None:
    told = report(
        [
            case_of("llama", "std 0.3", finding(Verdict.EXACT)),
            case_of("mamba", "std 0.3", finding(Verdict.REFUSED, "one | at a time")),
            case_of("mamba", "std 0.02", finding(Verdict.REFUSED, "one | at a time")),
        ]
    )
    assert "| std 0.3 | 2 causal | 1 | 0 | 0 | 1 | 0 | 0 | 0 |" in told
    assert "| the worst of all | 2 causal | 1 | 0 | 0 | 1 | 0 | 0 | 0 |" in told
    assert "| mamba | std 0.02; std 0.3 | refused | alone | one \\| at a time |" in told
    assert "llama |" not in told
