"""The output is that of `model.generate(do_sample=False)`, whoever drafts, whatever is asked."""

from typing import Any

import pytest

from tests.support.models import plain_ids, random_model
from tests.support.pairs import CASES, PAIRS, READS_TOGETHER
from tests.support.scripted import scripted_target
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagWarning


@pytest.mark.parametrize(("architecture", "pair"), READS_TOGETHER)
def test_any_draft_leaves_the_output_of_any_target(
    architecture: str, pair: tuple[str, str]
) -> None:
    decoder = scripted_target(architecture, pair)
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], max_new_tokens=48)
    runs = [decoder.generate(PROMPT, max_new_tokens=48) for _ in range(2)]
    assert [out.token_ids for out in runs] == [expected] * 2
    # The drafts were right often enough to be accepted, and wrong often enough to be rejected.
    assert all(0 < out.stats.accepted < out.stats.candidates for out in runs)


@pytest.mark.parametrize(("architecture", "pair"), CASES)
def test_any_assistant_leaves_the_output(architecture: str, pair: tuple[str, str]) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    model = random_model("llama", target)
    decoder = SpeculativeDecoder(
        model, target, random_model(architecture, assistant, seed=1), assistant
    )
    expected = plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=24)
    assert decoder.generate(PROMPT, max_new_tokens=24).token_ids == expected


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("lookahead", [1, 3, 16])
def test_any_tokenizer_pair_and_draft_length_leave_the_output(
    pair: tuple[str, str], lookahead: int
) -> None:
    decoder = scripted_target("gpt2", pair, lookahead)
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], max_new_tokens=40)
    assert decoder.generate(PROMPT, max_new_tokens=40).token_ids == expected


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mamba", "qwen3-next"])
def test_no_assistant_decodes_plainly(architecture: str) -> None:
    target = tokenizer("gpt2")
    model = random_model(architecture, target)
    out = SpeculativeDecoder(model, target).generate(PROMPT, max_new_tokens=24)
    assert out.token_ids == plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=24)
    assert out.stats.drafted == out.stats.accepted == 0


@pytest.mark.parametrize("drafts", ["assistant", "lookup"])
def test_a_target_that_cannot_verify_at_once_decodes_plainly_with_one_warning(drafts: str) -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    model = random_model("mamba", target)
    given = (random_model("llama", assistant), assistant) if drafts == "assistant" else ("lookup",)
    with pytest.warns(UagWarning, match=r"MambaForCausalLM .* drafts are switched off") as said:
        decoder = SpeculativeDecoder(model, target, *given)
    assert len(said) == 1
    assert said[0].filename == __file__
    assert decoder.assistant is None
    out = decoder.generate(PROMPT, max_new_tokens=24)
    assert out.token_ids == plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=24)
    assert out.stats.drafted == 0


OPTIONS: list[dict[str, Any]] = [
    {"max_length": 30},
    {"max_new_tokens": 1},
    {"max_new_tokens": 2},
    {"repetition_penalty": 1.3, "max_new_tokens": 40},
    {"no_repeat_ngram_size": 2, "max_new_tokens": 40},
    {"suppress_tokens": [11, 12, 13, 300, 301], "max_new_tokens": 40},
    {"begin_suppress_tokens": list(range(5, 200)), "max_new_tokens": 20},
    {"bad_words_ids": [[270], [280, 281]], "max_new_tokens": 40},
    {"forced_eos_token_id": 0, "max_new_tokens": 13},
    {"sequence_bias": [[[270], -5.0], [[290], 3.0]], "max_new_tokens": 40},
    {"exponential_decay_length_penalty": (5, 1.5), "max_new_tokens": 40},
    {"renormalize_logits": True, "remove_invalid_values": True, "max_new_tokens": 20},
    {
        "prefix_allowed_tokens_fn": lambda _, ids: list(range(len(ids) % 7, 330, 3)),
        "max_new_tokens": 30,
    },
    {},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "defaults")
def test_options_mean_what_they_mean_to_transformers(options: dict[str, Any]) -> None:
    decoder = scripted_target("llama", ("gpt2", "llama2"))
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], **options)
    assert decoder.generate(PROMPT, **options).token_ids == expected


def test_the_models_own_generation_defaults_hold() -> None:
    decoder = scripted_target("llama", ("gpt2", "llama2"))
    decoder.model.generation_config.repetition_penalty = 1.2
    decoder.model.generation_config.max_new_tokens = 33
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"])
    assert len(expected) == 33
    assert decoder.generate(PROMPT).token_ids == expected


def test_learned_positions_end_at_the_window() -> None:
    decoder = scripted_target("gpt2", ("gpt2", "llama2"), n_positions=40)
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    with pytest.warns(UserWarning, match="window is 40"):
        out = decoder.generate(PROMPT, max_length=64)
    assert out.token_ids == plain_ids(decoder.model, prompt, max_length=40)
    assert len(prompt) + len(out.token_ids) == 40
