"""Errors and interrupts anywhere: the text is right or the error is the caller's, and life goes on.

Each is injected at a place chosen at random. Afterwards the same decoder gives the right text, and
the models are as they were.
"""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import uag
from fakes import PROMPT, plain_ids, random_model, telling, tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import PARTS, calls, decoder_of, measured
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer
from uag import CoreError, OptionError, SpeculativeDecoder, UagWarning
from uag.batching.batch_cache import reads_rows
from uag.drafting.lookup_drafts import LookupDrafts
from uag.report.page import page_of

LENGTH = 24
PROMPTS = [PROMPT, "One day, the dog", "She said"]
GREEDY: dict[str, Any] = {"max_new_tokens": LENGTH}
DRAWN = GREEDY | {"do_sample": True, "temperature": 0.5, "seed": 3}
PACKAGE = str(Path(uag.__file__).parent)


def models() -> tuple[Any, Any]:
    """A target and an assistant that mostly tell the same story."""
    owns = tokenizer("gpt2"), tokenizer("llama2")
    return tuple(telling(random_model("llama", own, seed=len(own)), own) for own in owns)


@cache
def shared_models() -> tuple[Any, Any]:
    """The same for all tests, as they leave nothing changed; known to read rows."""
    both = models()
    assert all(map(reads_rows, both))
    return both


def pair(lookahead: Any = 4, both: tuple[Any, Any] | None = None) -> SpeculativeDecoder:
    model, assistant = both or shared_models()
    names = tokenizer("gpt2"), tokenizer("llama2")
    return SpeculativeDecoder(model, names[0], assistant, names[1], lookahead=lookahead)


# One for all: whatever happened to it before, it goes on.
pair_that_lasts = cache(pair)


def ids_of(result: Any) -> list[list[int]]:
    outs = result if isinstance(result, list) else [result]
    return [out.token_ids for out in outs]


def expected(decoder: SpeculativeDecoder, prompt: Any, options: dict[str, Any]) -> list[list[int]]:
    """What the target says by itself."""
    return ids_of(SpeculativeDecoder(decoder.model, decoder.tokenizer).generate(prompt, **options))


def state(decoder: SpeculativeDecoder) -> list[Any]:
    """All of the models that a call could leave changed."""
    return [
        (
            [(name, tensor.sum().item()) for name, tensor in model.state_dict().items()],
            model.config.to_dict(),
            model.generation_config.to_dict(),
            model.training,
            [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in model.modules()],
            sorted(vars(model)),
        )
        for model in (decoder.model, decoder.assistant)
    ]


class Countdown:
    """Raises at the call of this number, and at every later one if it is `lasting`."""

    def __init__(self, error: BaseException, at: int, *, lasting: bool = False) -> None:
        self.error = error
        self.left = at
        self.lasting = lasting

    def __deepcopy__(self, _: Any) -> "Countdown":
        return self  # one for all texts of a call

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0 or (self.lasting and self.left < 0):
            raise self.error


@contextmanager
def before_passes(model: Any, countdown: Countdown) -> Iterator[None]:
    """Have the countdown count a model's passes; in the midst of one, behind its first layer."""
    handle = model.model.layers[0].register_forward_hook(countdown)
    try:
        yield
    finally:
        handle.remove()


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
)
def test_where_the_assistant_fails_the_target_goes_on_by_itself(
    error: Exception, at: int, lasting: bool, prompt: Any, options: Any, lookahead: Any
) -> None:
    decoder = pair_that_lasts(lookahead)
    want = expected(decoder, prompt, options)
    before = state(decoder)
    countdown = Countdown(error, at, lasting=lasting)
    with before_passes(decoder.assistant, countdown), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        result = decoder.generate(prompt, **options)
    outs = result if isinstance(result, list) else [result]
    failed = [out.stats.assistant_error for out in outs if out.stats.assistant_error]
    assert ids_of(outs) == want
    assert bool(failed) == (countdown.left <= 0)
    assert len(heard) == bool(failed)  # one for all texts
    for said in failed:
        # A generator makes a StopIteration that passes through it a RuntimeError.
        assert said.startswith(f"drafting failed: {type(error).__name__}") or "StopIt" in said
        assert "\n" not in said and said in str(heard[0].message)
    for out in outs:
        if out.stats.assistant_error and lasting:
            assert out.stats.history[-1].drafted == 0
    assert ids_of(decoder.generate(prompt, **options)) == want and state(decoder) == before


@pytest.mark.parametrize("at", range(1, 7))
def test_a_model_that_fails_when_it_is_tried_with_rows(at: int) -> None:
    for part in (0, 1):
        decoder = pair(both=models())
        model = (decoder.model, decoder.assistant)[part]
        with before_passes(model, Countdown(RuntimeError("boom"), at)):
            read = reads_rows(model)
        assert read == (at > 5)
        want = expected(decoder, PROMPTS, GREEDY)
        assert ids_of(decoder.generate(PROMPTS, **GREEDY)) == want and reads_rows(model)


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
        model = telling(random_model("llama", target), target)
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


@pytest.mark.parametrize("what", ["propose", "commit", "target_ids", "assistant_ids", "held"])
def test_a_sequence_that_panicked_is_unusable_and_says_so(what: str) -> None:
    decoder = pair_that_lasts()
    broken, other = (decoder.bridge.start([5, 6], []) for _ in range(2))
    with pytest.raises(CoreError, match=r"a bug in the core: odd \d; please report it"):
        broken._test_panic("odd 1")
    with pytest.raises(CoreError, match="unusable: an earlier call failed half-way"):
        getattr(broken, what)([7])
    other.commit([7])
    assert other.target_ids == [5, 6, 7]


# Where the caller's own code, or the target, raises.
class Processor(LogitsProcessor):
    def __init__(self, countdown: Countdown) -> None:
        self.countdown = countdown

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.countdown()
        return scores


class Criterion(StoppingCriteria):
    def __init__(self, countdown: Countdown) -> None:
        self.countdown = countdown

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        self.countdown()
        return torch.tensor([False])


class Streamer(BaseStreamer):
    def __init__(self, countdown: Countdown) -> None:
        self.countdown = countdown

    def put(self, value: Any) -> None:
        self.countdown()

    def end(self) -> None:
        pass


PLACES = ["target", "processor", "criterion", "streamer"]


def raise_at(place: str, decoder: SpeculativeDecoder, countdown: Countdown, call: Any) -> None:
    """Make a call in which a countdown counts at a place."""
    match place:
        case "target" | "assistant":
            model = decoder.model if place == "target" else decoder.assistant
            with before_passes(model, countdown):
                call()
        case "processor":
            call(logits_processor=[Processor(countdown)])
        case "criterion":
            call(stopping_criteria=[Criterion(countdown)])
        case _:
            call(streamer=Streamer(countdown))


@settings(max_examples=15)
@given(
    place=st.sampled_from(PLACES),
    error=st.sampled_from([RuntimeError("boom"), MemoryError(), OptionError("no")]),
    at=st.integers(1, 5),
    prompt=st.sampled_from([PROMPT, PROMPTS]),
    options=st.sampled_from([GREEDY, DRAWN]),
)
def test_other_errors_are_the_callers_and_the_next_call_works(
    place: str, error: Exception, at: int, prompt: Any, options: Any
) -> None:
    prompt = PROMPT if place == "streamer" else prompt
    decoder = pair_that_lasts()
    before = state(decoder)
    call: Any = lambda **more: decoder.generate(prompt, **options, **more)  # noqa: E731
    with pytest.raises(type(error)) as raised:
        raise_at(place, decoder, Countdown(error, at), call)
    assert raised.value is error
    assert ids_of(decoder.generate(prompt, **options)) == expected(decoder, prompt, options)
    assert state(decoder) == before


@settings(max_examples=15)
@given(
    place=st.sampled_from([*PLACES, "assistant"]),
    at=st.integers(1, 5),
    prompt=st.sampled_from([PROMPT, PROMPTS]),
)
def test_an_interrupt_in_foreign_code_is_the_callers(place: str, at: int, prompt: Any) -> None:
    prompt = PROMPT if place == "streamer" else prompt
    decoder = pair_that_lasts()
    call: Any = lambda **more: decoder.generate(prompt, **GREEDY, **more)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        raise_at(place, decoder, Countdown(KeyboardInterrupt(), at), call)
    assert ids_of(decoder.generate(prompt, **GREEDY)) == expected(decoder, prompt, GREEDY)


@contextmanager
def each_line(visit: Callable[[], None]) -> Iterator[None]:
    """Have a function called before each line of the package that this thread runs."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call" and not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            visit()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


KINDS: dict[str, Callable[[SpeculativeDecoder], Any]] = {
    "greedy": lambda decoder: decoder.generate(PROMPT, **GREEDY),
    "drawn": lambda decoder: decoder.generate(PROMPT, **DRAWN),
    "rows": lambda decoder: decoder.generate(PROMPTS, **GREEDY),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_at_any_line_of_the_package(kind: str) -> None:
    decoder = pair_that_lasts()
    call = KINDS[kind]
    want = ids_of(call(decoder))
    before = state(decoder)
    lines = 0

    def count() -> None:
        nonlocal lines
        lines += 1

    with each_line(count):
        call(decoder)
    for place in range(24):
        # Spread over the call, and over the lines of a round.
        interrupt = Countdown(KeyboardInterrupt(), 1 + place * lines // 26 + place % 7)
        with pytest.raises(KeyboardInterrupt), each_line(interrupt):
            call(decoder)
        if place % 5 == 0:
            assert ids_of(call(decoder)) == want
    assert ids_of(call(decoder)) == want and state(decoder) == before


@settings(max_examples=8)
@given(rounds=st.integers(0, 6), options=st.sampled_from([GREEDY, DRAWN]))
def test_a_stream_left_half_way(rounds: int, options: Any) -> None:
    decoder = pair_that_lasts()
    stream = decoder.stream(PROMPT, **options)
    for _ in range(rounds):
        next(stream, "")
    del stream
    assert ids_of(decoder.generate(PROMPT, **options)) == expected(decoder, PROMPT, options)


def test_threads_with_decoders_of_their_own_share_the_models() -> None:
    first = pair()
    prompts = [PROMPT, "One day, the dog", "She said", "I'll find you"]
    kinds = [GREEDY, DRAWN]
    want = [[expected(first, prompt, options) for prompt in prompts] for options in kinds]
    rows = [ids_of(first.generate(prompts, **options)) for options in kinds]
    found: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        decoder = SpeculativeDecoder(
            first.model, first.tokenizer, first.assistant, first.assistant_tokenizer, lookahead=4
        )
        options = kinds[number % 2]
        found[number] = [
            [ids_of(decoder.generate(prompt, **options)) for prompt in prompts],
            ids_of(decoder.generate(prompts, **options)),
        ]

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(8)] == [[want[n % 2], rows[n % 2]] for n in range(8)]


def test_a_text_stopped_from_another_thread() -> None:
    decoder = pair_that_lasts()
    stop = threading.Event()

    class Stopped(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            if input_ids.shape[1] > 16:
                threading.Thread(target=stop.set).start()
                stop.wait()
            return torch.tensor([stop.is_set()])

    out = decoder.generate(PROMPT, **GREEDY, stopping_criteria=[Stopped()])
    want = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], max_new_tokens=LENGTH)
    assert 0 < len(out.token_ids) < LENGTH and out.token_ids == want[: len(out.token_ids)]


@pytest.mark.parametrize("leak", [False, True])
def test_memory_is_flat(leak: bool) -> None:
    turns = calls(decoder_of(), length=6)
    kept: list[Any] = []
    if leak:  # which the count must see
        turns = [lambda call=call: kept.append([call()]) for call in turns]
    objects = [objects for objects, _ in measured(turns, 7 * PARTS)]
    assert (objects[-1] - objects[PARTS // 2] > PARTS) == leak
