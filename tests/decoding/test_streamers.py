"""transformers' streamers get the ids of whole characters as they are accepted."""

import asyncio
from functools import cache, partial
from threading import Thread
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AsyncTextIteratorStreamer, TextIteratorStreamer, TextStreamer

from tests.support.models import random_model, with_story
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.transformers_calls import RecordingStreamer, both, decoder, inputs, padded
from uag import OptionError, SpeculativeDecoder


@cache
def story_pair() -> SpeculativeDecoder:
    """Tells a story with characters of several bytes; its assistant guesses it well."""
    other = tokenizer("bytes")
    return SpeculativeDecoder(
        with_story(random_model("llama", padded()), padded()),
        padded(),
        with_story(random_model("llama", other), other),
        other,
        lookahead=12,
    )


def test_a_streamer_gets_whole_characters_as_they_are_accepted() -> None:
    expected = story_pair().generate(PROMPT, max_new_tokens=90)
    pieces = sum(1 for _ in story_pair().stream(PROMPT, max_new_tokens=90))
    for call in (
        lambda puts: story_pair().model.generate(
            **inputs(PROMPT), max_new_tokens=90, custom_generate=story_pair(), streamer=puts
        ),
        lambda puts: story_pair().model.generate(
            **inputs(PROMPT),
            max_new_tokens=90,
            custom_generate=partial(story_pair(), streamer=puts),
        ),
        lambda puts: story_pair().generate(PROMPT, max_new_tokens=90, streamer=puts),
    ):
        puts = RecordingStreamer()
        call(puts)
        prompt, *values = puts.values
        assert prompt.tolist() == inputs(PROMPT)["input_ids"].tolist() and puts.ended == 1
        assert torch.cat(values).tolist() == expected.token_ids
        assert all(value.dim() == 1 for value in values)
        # Less often than text comes: an id may end one character and begin another.
        assert 0.8 * pieces < len(values) <= pieces
        decoded = [padded().decode(value) for value in values]
        assert "".join(decoded) == expected.text and not expected.text.isascii()


def test_text_streamer(capsys: pytest.CaptureFixture[str]) -> None:
    streamer = TextStreamer(padded(), skip_prompt=True)
    out, _ = both(story_pair(), inputs(PROMPT), max_new_tokens=60, streamer=streamer)
    text = padded().decode(out[0, inputs(PROMPT)["input_ids"].shape[1] :])
    assert capsys.readouterr().out == (text + "\n") * 2


def test_text_iterator_streamer() -> None:
    streamer = TextIteratorStreamer(padded(), skip_prompt=True, timeout=60)
    options = inputs(PROMPT) | {"max_new_tokens": 60, "streamer": streamer}
    thread = Thread(
        target=story_pair().model.generate, kwargs=options | {"custom_generate": story_pair()}
    )
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == story_pair().generate(PROMPT, max_new_tokens=60).text
    assert len(pieces) > 3


def test_async_streamer() -> None:
    async def heard() -> str:
        streamer = AsyncTextIteratorStreamer(padded(), skip_prompt=True, timeout=60)
        generate: Any = story_pair().model.generate
        options = {"max_new_tokens": 60, "streamer": streamer, "custom_generate": story_pair()}
        thread = Thread(target=generate, kwargs=inputs(PROMPT) | options)
        thread.start()
        text = "".join([piece async for piece in streamer])
        thread.join()
        return text

    assert asyncio.run(heard()) == story_pair().generate(PROMPT, max_new_tokens=60).text


def test_streamers_of_several_texts() -> None:
    with pytest.raises(OptionError, match="a streamer gets one generation, but there are 2"):
        decoder().generate(["Once", "One day"], streamer=RecordingStreamer())


@given(ids=st.lists(st.integers(3, 400), min_size=1, max_size=12))
def test_a_streamer_gets_a_prompt_that_ends_within_a_character_once(ids: list[int]) -> None:
    puts = RecordingStreamer()
    out = decoder().generate(ids, max_new_tokens=6, streamer=puts)
    prompt, *values = puts.values
    assert prompt[0].tolist() == ids
    assert torch.cat(values).tolist() == out.token_ids
