"""Where drafting fails the target continues alone, and the caller is told once."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faults import (
    DRAWN,
    GREEDY,
    PROMPTS,
    Countdown,
    before_passes,
    expected,
    ids_of,
    pair,
    pair_that_lasts,
    shared_models,
    state,
)
from tests.support.models import random_model, with_story
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagWarning
from uag.drafting.fallback import FaultPolicy, GuardedDrafting
from uag.drafting.lookup_drafts import LookupDrafts
from uag.drafting.source import NoDrafts
from uag.lookahead.schedules import Fixed
from uag.report.page import page_of
from uag.stats import Stats

ERRORS = [
    RuntimeError("boom"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore"),
    AssertionError(),
    StopIteration("a bug"),
    KeyError("a bug"),
]


@settings(max_examples=15)
@given(
    error=st.sampled_from(ERRORS),
    at=st.integers(1, 12),
    lasting=st.booleans(),
    prompt=st.sampled_from([PROMPT, PROMPTS]),
    options=st.sampled_from([GREEDY, DRAWN]),
    lookahead=st.sampled_from([4, "heuristic", "auto"]),
    tree=st.sampled_from([0, 15]),
)
def test_where_the_assistant_fails_the_target_continues_alone(
    error: Exception, at: int, lasting: bool, prompt: Any, options: Any, lookahead: Any, tree: int
) -> None:
    # Texts that share passes have chains, and say so.
    decoder = pair_that_lasts(lookahead, tree=tree if prompt is PROMPT else 0)
    want = expected(decoder, prompt, options)
    before = state(decoder)
    countdown = Countdown(error, at, lasting=lasting)
    with before_passes(decoder.assistant, countdown), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        result = decoder.generate(prompt, **options)
    outs = result if isinstance(result, list) else [result]
    failed = [out.stats.assistant_error for out in outs if out.stats.assistant_error]
    assert ids_of(outs) == want
    # A pass of several texts for which memory was short is tried again in halves.
    again = isinstance(error, torch.OutOfMemoryError) and not lasting and prompt is PROMPTS
    assert again or bool(failed) == (countdown.left <= 0)
    assert len(heard) == bool(failed)  # one for all texts
    for said in failed:
        # A generator makes a StopIteration that passes through it a RuntimeError.
        assert said.startswith(f"drafting failed: {type(error).__name__}") or "StopIt" in said
        assert "\n" not in said and said in str(heard[0].message)
    for out in outs:
        if out.stats.assistant_error and lasting:
            assert out.stats.history[-1].drafted == 0
    assert ids_of(decoder.generate(prompt, **options)) == want and state(decoder) == before


def test_what_was_drafted_before_counts_and_the_next_call_drafts_again() -> None:
    decoder = pair_that_lasts()
    with (
        before_passes(decoder.assistant, Countdown(RuntimeError("boom"), 9)),
        pytest.warns(UagWarning, match=r"drafting failed: RuntimeError: boom; the target goes on"),
    ):
        out = decoder.generate(PROMPT, trace=True, **GREEDY)
    drafted = [done.drafted for done in out.stats.history]
    assert out.stats.assistant_error == "drafting failed: RuntimeError: boom"
    assert drafted[0] and not drafted[-1] and out.stats.accepted
    assert "drafting failed" not in page_of([out])  # a page shows such a text as any other
    again = decoder.generate(PROMPT, **GREEDY)
    assert again.token_ids == out.token_ids and again.stats.assistant_error == ""
    assert again.stats.drafted > out.stats.drafted


def test_an_error_is_raised_where_warnings_are() -> None:
    decoder = pair_that_lasts()
    error = RuntimeError("boom")
    with warnings.catch_warnings(), before_passes(decoder.assistant, Countdown(error, 5)):
        warnings.simplefilter("error", UagWarning)
        with pytest.raises(UagWarning, match="boom") as raised:
            decoder.generate(PROMPT, **GREEDY)
    assert raised.value.__context__ is error


class Odd:
    """A drafter or a lookahead of the user's, one of whose methods fails."""

    def __init__(self, method: str, countdown: Countdown) -> None:
        self.method = method
        self.countdown = countdown

    def _did(self, method: str) -> None:
        if method == self.method:
            self.countdown()

    def propose(self, text: bytes, ids: Any, k: int) -> bytes:
        self._did("propose")
        return b" the dog"

    def start(self) -> None:
        self._did("start")

    def next_k(self) -> int:
        self._did("next_k")
        return 3

    def goes_on(self) -> Callable[[float], bool]:
        self._did("goes_on")
        return lambda _: not self._did("confidence")

    def update(self, done: Any) -> None:
        self._did("update")


@pytest.mark.parametrize("prompt", [PROMPT, PROMPTS], ids=["alone", "rows"])
@pytest.mark.parametrize(
    "method", ["propose", "start", "next_k", "goes_on", "confidence", "update"]
)
def test_a_drafter_or_a_lookahead_fails(method: str, prompt: Any) -> None:
    odd = Odd(method, Countdown(ZeroDivisionError("odd"), 1 if method == "start" else 2))
    if method == "propose":
        target = tokenizer("gpt2")
        model = with_story(random_model("llama", target), target)
        decoder = SpeculativeDecoder(model, target, odd, lookahead=3)
    else:
        decoder = pair(lookahead=odd)
    part = "drafting" if method in ("propose", "confidence") else "the lookahead"
    with pytest.warns(UagWarning, match=f"{part} failed: ZeroDivisionError: odd"):
        result = decoder.generate(prompt, **GREEDY)
    assert ids_of(result) == expected(decoder, prompt, GREEDY)


def test_looking_up_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = SpeculativeDecoder(shared_models()[0], tokenizer("gpt2"), "lookup", lookahead=4)
    draft, countdown = LookupDrafts.draft, Countdown(RuntimeError("boom"), 3)

    def counted(self: Any, *arguments: Any) -> Any:
        countdown()
        return draft(self, *arguments)

    monkeypatch.setattr(LookupDrafts, "draft", counted)
    with pytest.warns(UagWarning, match="drafting failed: RuntimeError: boom"):
        out = decoder.generate(PROMPT, **GREEDY)
    assert ids_of(out) == expected(decoder, PROMPT, GREEDY)


class Panics:
    """A sequence of the core's, which panics in the call of this number."""

    def __init__(self, sequence: Any, method: str, at: int) -> None:
        self.sequence = sequence
        self.method = method
        self.countdown = Countdown(RuntimeError(), at)

    def __getattr__(self, name: str) -> Any:
        if name == self.method:
            try:
                self.countdown()
            except RuntimeError:
                return lambda *_: self.sequence._test_panic("index out of bounds")
        return getattr(self.sequence, name)


@pytest.mark.parametrize("prompt", [PROMPT, PROMPTS], ids=["alone", "rows"])
@pytest.mark.parametrize("options", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("method", ["propose", "commit"])
def test_a_bug_in_the_core_ends_drafting_only(
    method: str, options: Any, prompt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = pair_that_lasts()
    start = decoder.bridge.start
    monkeypatch.setattr(decoder.bridge, "start", lambda *ids: Panics(start(*ids), method, 3))
    with pytest.warns(UagWarning, match=r"translation failed: CoreError: .*index out of bounds"):
        result = decoder.generate(prompt, **options, trace=True)
    for out in result if isinstance(result, list) else [result]:
        history, cuts = out.stats.history, [step.cut for step in out.trace.steps]
        failed = [at for at, cut in enumerate(cuts) if cut == "failed"]
        assert failed == ([2] if method == "propose" else [])
        assert not history[2].drafted_accepted or method == "commit"
        assert not any(done.drafted for done in history[3:]) and page_of([out])
    assert ids_of(result) == expected(decoder, prompt, options)


@dataclass(frozen=True, slots=True)
class Trying(Fixed):
    """A lookahead that rests, or tries out what may not pay."""

    rests: bool = False
    pays: bool = True


@pytest.mark.parametrize(
    ("lookahead", "asked", "begins"),
    [
        (Fixed(2), 2, True),
        (Fixed(2), 0, False),  # nobody knows how many ids are next
        (Trying(2, pays=True), 2, True),
        (Trying(2, pays=False), 2, False),  # a trial is most often one draft
        (Trying(2, pays=False), 0, False),
        (Trying(2, rests=True, pays=False), 0, True),
    ],
)
def test_only_what_comes_in_all_likelihood_is_begun(
    lookahead: Fixed, asked: int, begins: bool
) -> None:
    begun: list[int] = []

    class Source(NoDrafts):
        def begin(self, k: int) -> bool:
            begun.append(k)
            return False

    translator: Any = None
    guarded = GuardedDrafting(Source, translator, lookahead, Stats(), FaultPolicy())
    assert guarded.begin(asked) != begins
    assert begun == [asked] * begins
