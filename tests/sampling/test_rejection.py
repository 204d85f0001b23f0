"""Sampling by rejection: with any pair, and with the target as its own assistant."""

from typing import Any

import pytest

from tests.support.models import plain_ids, random_model, with_story
from tests.support.pairs import PAIRS
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.demo import demo_decoder


@pytest.mark.parametrize("pair", PAIRS)
def test_rejection_samples_with_any_pair(pair: tuple[str, str]) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    model = with_story(random_model("llama", target), target)
    small = random_model("llama", assistant, num_hidden_layers=1)
    decoder = SpeculativeDecoder(model, target, small, assistant, lookahead=4, sampling="rejection")
    options: dict[str, Any] = {"do_sample": True, "max_new_tokens": 24, "repetition_penalty": 1.1}
    outs = [decoder.generate(PROMPT, seed=seed, **options) for seed in (1, 1, 2)]
    assert [len(out.token_ids) for out in outs] == [24] * 3
    assert outs[0].token_ids == outs[1].token_ids != outs[2].token_ids
    # Every drafted token is a candidate, as it is.
    assert all(done.candidates == done.drafted for done in outs[0].stats.history[:-6])
    expected = plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=24)
    assert decoder.generate(PROMPT, max_new_tokens=24).token_ids == expected


def test_rejection_accepts_every_draft_of_the_target_itself() -> None:
    demo = demo_decoder(lookahead=6)
    model, own = demo.model, demo.tokenizer
    decoder = SpeculativeDecoder(model, own, model, own, lookahead=6, sampling="rejection")
    out = decoder.generate("Once upon a time", do_sample=True, top_k=40, seed=1, max_new_tokens=60)
    assert out.stats.accepted > 0.95 * out.stats.candidates
