"""Errors and interrupts anywhere: the text is right or the error is the caller's, and life goes on.

Each is injected at a place chosen at random. Afterwards the same decoder gives the right text, and
the models are as they were.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

import uag
from tests.campaigns.memory import PARTS, calls, decoder_of, measured
from tests.support.faults import (
    DRAWN,
    GREEDY,
    LENGTH,
    PROMPTS,
    Countdown,
    before_passes,
    expected,
    ids_of,
    pair,
    pair_that_lasts,
    state,
)
from tests.support.models import plain_ids
from tests.support.tokenizers import PROMPT
from uag import OptionError, SpeculativeDecoder

PACKAGE = str(Path(uag.__file__).parent)


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
