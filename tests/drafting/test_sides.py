"""What drafts for a target: which kinds there are, and what each does when texts grow long."""

from contextvars import copy_context
from types import SimpleNamespace
from typing import Any, cast

import pytest
import transformers

from tests.support.models import REPEATING, looping, plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Lookup, OptionError, Output, SpeculativeDecoder, UagError
from uag.clock import set_clock
from uag.lookahead.auto import Auto


def test_the_text_drafts_beside_a_model_unless_said_otherwise() -> None:
    model, words = looping("gpt2")
    small = tokenizer("qwen2")
    pair = model, words, random_model("llama", small, num_hidden_layers=1), small
    assert SpeculativeDecoder(*pair).lookup is not None
    # A number counts the assistant's ids.
    for lookahead in (5, "heuristic", Auto()):
        assert SpeculativeDecoder(*pair, lookahead=lookahead).lookup is None
        assert SpeculativeDecoder(*pair, lookahead=lookahead, lookup=True).lookup is not None
    assert SpeculativeDecoder(*pair, lookup=False).lookup is None
    assert SpeculativeDecoder(model, words).lookup is None
    # A drafter of the user's is asked alone.
    guess = SimpleNamespace(propose=lambda *_: b"")
    assert SpeculativeDecoder(model, words, cast("Any", guess)).lookup is None


def test_by_default_a_text_that_repeats_drafts_for_itself() -> None:
    """On a clock that moves with passes, whose width costs nothing, a text promises most."""
    model, words = looping("gpt2")
    small = tokenizer("qwen2")
    assistant = random_model("llama", small)
    decoder = SpeculativeDecoder(model, words, assistant, small)
    seconds = 0.0

    def spend(*_: Any) -> None:
        nonlocal seconds
        seconds += 1.0

    def timed() -> Output:
        set_clock(lambda: seconds)
        decoder.generate(REPEATING, max_new_tokens=8)  # the cost of a plain pass
        return decoder.generate(REPEATING, max_new_tokens=60)

    with model.register_forward_pre_hook(spend), assistant.register_forward_pre_hook(spend):
        out = copy_context().run(timed)
    assert out.token_ids == plain_ids(model, words(REPEATING)["input_ids"], max_new_tokens=60)
    assert out.stats.looked_up_accepted > 0


def test_options_that_cannot_be_lookups() -> None:
    model, words = looping("gpt2")
    with pytest.raises(UagError, match="the assistant is a str"):
        SpeculativeDecoder(model, words, "look-up")
    with pytest.raises(OptionError, match="'look-up' cannot draft"):
        SpeculativeDecoder(model, words, lookup=cast("Any", "look-up"))
    with pytest.raises(OptionError, match="give one"):
        SpeculativeDecoder(model, words, "lookup", lookup=Lookup())


def test_assistant_without_tokenizer() -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)
    with pytest.raises(UagError, match="assistant_tokenizer"):
        SpeculativeDecoder(model, target, model)


def test_an_assistant_keeps_drafting_when_the_text_outgrows_its_window() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("bytes")
    model = random_model("llama", target)
    small = random_model("gpt2", assistant, n_positions=32)
    out = SpeculativeDecoder(model, target, small, assistant, lookahead=5).generate(
        PROMPT * 2, max_new_tokens=40
    )
    assert out.token_ids == plain_ids(model, target(PROMPT * 2)["input_ids"], max_new_tokens=40)
    assert all(done.drafted for done in out.stats.history[:-1])


@pytest.mark.parametrize(
    "config",
    [
        transformers.CodeGenConfig(n_positions=32, n_ctx=32, n_embd=32, n_layer=2, n_head=4,
                                   rotary_dim=4, vocab_size=420),
        transformers.MptConfig(max_seq_len=32, d_model=32, n_heads=4, n_layers=2, vocab_size=420),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_an_assistant_drafts_beyond_its_table_of_positions(config: Any) -> None:
    own = tokenizer("gpt2")
    target = random_model("llama", own)
    assistant = transformers.AutoModelForCausalLM.from_config(config).eval()
    out = SpeculativeDecoder(target, own, assistant, own, lookahead=3).generate(
        PROMPT, max_new_tokens=48, eos_token_id=None
    )
    assert out.stats.history[-4].drafted == 3 and out.stats.assistant_error == ""
    assert out.token_ids == plain_ids(
        target, own(PROMPT)["input_ids"], max_new_tokens=48, eos_token_id=None
    )
