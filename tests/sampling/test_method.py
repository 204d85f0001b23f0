"""How ids are chosen for one call: seeds, defaults, options that are refused."""

from typing import Any

import pytest

from tests.support.models import random_model
from tests.support.scripted import scripted_pair
from tests.support.tokenizers import PROMPT, tokenizer
from uag import OptionError, SpeculativeDecoder


def test_a_seed_is_one_text_and_every_text_another() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    options: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "max_new_tokens": 16}
    outs = [decoder.generate(PROMPT, seed=seed, **options) for seed in (0, 1, 0, 2**63 - 1)]
    ids = [out.token_ids for out in outs]
    assert ids[0] == ids[2] and len({*map(tuple, ids)}) == 3
    assert [out.seed for out in outs] == [0, 1, 0, 2**63 - 1]
    several = decoder.generate(PROMPT, num_return_sequences=3, seed=0, **options)
    assert several[0].token_ids == ids[0]
    assert len({tuple(out.token_ids) for out in several}) == 3


def test_the_models_defaults_may_ask_for_sampling() -> None:
    decoder = scripted_pair("gpt2", "llama2")
    decoder.model.generation_config.do_sample = True
    decoder.model.generation_config.temperature = 0.5
    out = decoder.generate(PROMPT, seed=1, max_new_tokens=12)
    asked = decoder.generate(PROMPT, seed=1, max_new_tokens=12, do_sample=True, temperature=0.5)
    assert (out.seed, out.token_ids) == (1, asked.token_ids)
    assert decoder.generate(PROMPT, do_sample=False, max_new_tokens=5).seed is None


@pytest.mark.parametrize("draft_temperature", [0, -0.5, float("nan"), "warm"])
def test_draft_temperature_out_of_range(draft_temperature: Any) -> None:
    target = tokenizer("gpt2")
    with pytest.raises(OptionError, match="draft_temperature"):
        SpeculativeDecoder(
            random_model("llama", target), target, draft_temperature=draft_temperature
        )


def test_unknown_method_of_sampling() -> None:
    target = tokenizer("gpt2")
    with pytest.raises(OptionError, match="sampling='gibbs': it must be coupled or rejection"):
        SpeculativeDecoder(random_model("llama", target), target, sampling="gibbs")
