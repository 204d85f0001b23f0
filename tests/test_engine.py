"""What one call wires: a seed for all its texts, and a sequence of noise for each."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.support.models import plain_ids, random_model
from tests.support.scripted import scripted_pair
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagWarning, UnsupportedModelError, errors
from uag.lookahead.estimates import Estimates


def test_rows_are_the_prompts_alone_and_equal_prompts_differ() -> None:
    scripted = scripted_pair("gpt2", "llama2")
    decoder = SpeculativeDecoder(
        scripted.model, scripted.tokenizer, scripted.assistant, scripted.assistant_tokenizer
    )
    options: dict[str, Any] = {"do_sample": True, "seed": 4, "max_new_tokens": 12}
    prompts = [PROMPT, "One day", decoder.tokenizer("A dog")["input_ids"], PROMPT]
    rows = decoder.generate(prompts, **options)
    alone = [decoder.generate(prompt, **options) for prompt in prompts]
    assert [out.token_ids for out in rows[:3]] == [out.token_ids for out in alone[:3]]
    twice = decoder.generate(PROMPT, num_return_sequences=2, **options)
    assert [rows[0].token_ids, rows[3].token_ids] == [out.token_ids for out in twice]
    assert rows[0].token_ids != rows[3].token_ids
    both = decoder.generate(prompts[:2], num_return_sequences=2, **options)
    assert len(both) == 4 and both[2].token_ids == rows[1].token_ids
    assert decoder.generate(prompts[:2], max_new_tokens=5)[1].seed is None


def test_a_fresh_seed_comes_from_torchs_and_is_reported() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    options: dict[str, Any] = {"do_sample": True, "max_new_tokens": 12}
    torch.manual_seed(11)
    first, second = (decoder.generate(PROMPT, **options) for _ in range(2))
    assert first.seed != second.seed and first.token_ids != second.token_ids
    assert decoder.generate(PROMPT, seed=second.seed, **options).token_ids == second.token_ids
    torch.manual_seed(11)
    stream = decoder.stream(PROMPT, **options)
    assert (stream.seed, "".join(stream)) == (first.seed, first.text)
    assert stream.stats.token_ids == first.token_ids


def test_a_seed_may_be_a_number_of_numpy() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    seeds: list[Any] = [7, np.int64(7), np.uint32(7)]
    outs = [
        decoder.generate(PROMPT, do_sample=True, seed=seed, max_new_tokens=12) for seed in seeds
    ]
    assert len({(out.text, out.seed) for out in outs}) == 1
    assert {type(out.seed) for out in outs} == {int}


def test_greedy_decoding_has_no_seed_and_leaves_torchs_generator() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    before = torch.get_rng_state()
    assert decoder.generate(PROMPT, seed=3, do_sample=False, max_new_tokens=5).seed is None
    assert torch.equal(before, torch.get_rng_state())


def test_plain_decoding_computes_no_lookahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """With "auto" that took a third of a plain round, for drafts that nobody could make."""

    def unasked(*_: Any, **__: Any) -> None:
        pytest.fail("a lookahead was computed")

    for name in ("best", "drafting_rate", "learn_rate"):
        monkeypatch.setattr(Estimates, name, unasked)
    words = tokenizer("gpt2")
    decoder = SpeculativeDecoder(random_model("llama", words), words)
    for prompts in (PROMPT, [PROMPT, "Once"]):
        outs = decoder.generate(prompts, max_new_tokens=8)
        for out in outs if isinstance(outs, list) else [outs]:
            assert out.stats.rounds == out.stats.target_forwards == 8


@pytest.mark.parametrize("length", [40, 8])
def test_a_text_longer_than_the_window_goes_on_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """With a prompt that is too long already, and with one that crosses the window."""
    monkeypatch.setattr(errors, "_warned", set[str]())
    own = tokenizer("gpt2")
    model = random_model("qwen2", own, max_position_embeddings=32)
    decoder = SpeculativeDecoder(model, own, model, own, lookahead=3)
    prompt: list[int] = (own(PROMPT)["input_ids"] * 9)[:length]
    with pytest.warns(UagWarning, match="longer than the target's window of 32 ids") as seen:
        outs = [decoder.generate(prompt, max_new_tokens=30) for _ in range(2)]
    assert len(seen) == 1
    expected = plain_ids(model, prompt, max_new_tokens=30)
    assert [out.token_ids for out in outs] == [expected] * 2


def test_a_text_within_the_window_is_no_warning() -> None:
    own = tokenizer("gpt2")
    model = random_model("qwen2", own, max_position_embeddings=32)
    prompt: list[int] = own(PROMPT)["input_ids"][:8]
    assert len(SpeculativeDecoder(model, own).generate(prompt, max_new_tokens=24).token_ids) == 24


@pytest.mark.parametrize("role", ["target", "assistant"])
def test_a_model_switched_to_train_mode_is_refused_at_the_call(role: str) -> None:
    own = tokenizer("gpt2")
    models = [random_model("gpt2", own, attn_pdrop=0.1) for _ in range(2)]
    decoder = SpeculativeDecoder(models[0], own, models[1], own)
    rows = torch.tensor([own(PROMPT)["input_ids"]])
    changed = models[role == "assistant"]
    changed.transformer.h[1].train()
    for call in (
        lambda: decoder.generate(PROMPT, max_new_tokens=3),
        lambda: decoder.stream(PROMPT, max_new_tokens=3),
        lambda: models[0].generate(rows, custom_generate=decoder, max_new_tokens=3),
    ):
        with pytest.raises(
            UnsupportedModelError, match=rf"the {role} .* call model.eval\(\) first"
        ):
            call()
    assert changed.transformer.h[1].training
    changed.eval()
    assert len(decoder.generate(PROMPT, max_new_tokens=3).token_ids) == 3
