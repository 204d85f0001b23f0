"""Ids that end a text mean the same in both vocabularies."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.translation.end_tokens import end_pairs


def test_end_of_text_of_the_assistant_is_that_of_the_target() -> None:
    # The assistant says its end-of-text at once; the target agrees with its own.
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    for model in models:
        end = model.config.eos_token_id

        def say(_: object, __: object, output: Any, end: int = end) -> None:
            output.logits[..., end] += 1000

        model.register_forward_hook(say)
    out = SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=5).generate(
        PROMPT, max_new_tokens=9
    )
    assert out.token_ids == [target.eos_token_id]
    assert (out.text, out.stats.accepted, out.stats.drafted) == ("", 1, 1)


ends = st.lists(st.integers(0, 9), max_size=4, unique=True)
turns = st.one_of(st.none(), st.integers(0, 9))


@given(ends, ends, turns, turns)
def test_every_end_is_paired_where_both_sides_have_any(
    target: list[int], assistant: list[int], target_turn: int | None, assistant_turn: int | None
) -> None:
    pairs = end_pairs(target, assistant, target_turn, assistant_turn)
    assert len(set(pairs)) == len(pairs)
    for side, own, turn in ((0, target, target_turn), (1, assistant, assistant_turn)):
        paired = {pair[side] for pair in pairs}
        assert paired <= {*own} | {turn}
        if target and assistant:
            assert paired >= {*own}
