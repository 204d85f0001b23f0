"""Replies draft for later texts of the same owner, within a budget."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag import Lookup, OptionError, SpeculativeDecoder
from uag.decoding.output import Output
from uag.demo import demo_decoder
from uag.serving.engine import ServingEngine
from uag.serving.replies import Replies
from uag.serving.reply import Ended


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=12)), max_size=30),
    st.integers(1, 40),
)
def test_the_budget_holds_and_the_last_reply_is_there(
    said: list[tuple[str, str]], budget: int
) -> None:
    replies = Replies(Lookup(["for everybody"]), budget)
    for owner, text in said:
        replies.remember(owner, text)
        assert replies.bytes <= budget
        lookup = replies.of(owner)
        assert lookup is not None and lookup.texts[0] == "for everybody"
        if 0 < len(text.encode()) <= budget:
            assert lookup.texts[-1] == text
        for other in "abc":
            found = replies.of(other)
            mine = {text for of, text in said if of == other}
            assert found is not None and set(found.texts[1:]) <= mine


def test_what_was_said_before_is_drafted() -> None:
    prompt, options = "Once upon a time", {"max_new_tokens": 40, "do_sample": False}

    async def ask(engine: ServingEngine, owner: str) -> Output:
        events = [each async for each in engine.submit(prompt, options, owner=owner)]
        end = events[-1]
        assert isinstance(end, Ended)
        return end.output

    pair = demo_decoder()
    decoder = SpeculativeDecoder(pair.model, pair.tokenizer, "lookup", lookahead=4)
    with ServingEngine(decoder, remember=10_000) as engine:
        first = asyncio.run(ask(engine, "Ann"))
        again = asyncio.run(ask(engine, "Ann"))
        other = asyncio.run(ask(engine, "Bob"))
    assert first.token_ids == again.token_ids == other.token_ids
    assert other.stats.looked_up_accepted <= first.stats.looked_up_accepted + 1
    assert again.stats.looked_up_accepted > 20


def test_it_needs_a_decoder_that_looks_up() -> None:
    with pytest.raises(OptionError, match="remember"):
        Replies(None, 100)
    with pytest.raises(OptionError, match="remember"):
        Replies(Lookup(), -1)
    assert Replies(None, 0).of("Ann") is None
