"""What a caller asks for is met or refused; what nobody asked for does not stand in the way."""

from typing import Any

import pytest
import torch
import transformers
from transformers import GenerationConfig

import uag
from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import OptionError, SpeculativeDecoder, UagWarning, errors
from uag.requests.asked import CHANGING, UNSUPPORTED, asked_for, is_supported, left_aside

OWN = tokenizer("gpt2")
IDS: list[int] = OWN(PROMPT)["input_ids"]


@pytest.fixture(autouse=True)
def every_warning_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that another test has caused before."""
    monkeypatch.setattr(errors, "_warned", set[str]())


def with_defaults(**options: Any) -> Any:
    """A target with these generation defaults."""
    model = random_model("llama", OWN, seed=3)
    usual = {"eos_token_id": 9999, "pad_token_id": 0, "do_sample": False}
    model.generation_config = GenerationConfig(**usual | options)
    return model


def by_transformers(model: Any, decoder: SpeculativeDecoder | None, **options: Any) -> list[int]:
    ids = torch.tensor([IDS])
    mask = torch.ones_like(ids)
    out = model.generate(ids, attention_mask=mask, custom_generate=decoder, **options)
    assert len(out) == 1
    return out[0, len(IDS) :].tolist()


@pytest.mark.parametrize(
    ("defaults", "off"),
    [
        ({"eos_token_id": "the 10th"}, {"eos_token_id": None}),
        ({"repetition_penalty": 1.8}, {"repetition_penalty": None}),
        ({"suppress_tokens": [*range(100, 420)]}, {"suppress_tokens": None}),
        ({"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": None}),
        ({"stop_strings": ["a", "e", "o"]}, {"stop_strings": None}),
        ({"do_sample": True, "temperature": 9.0}, {"do_sample": None}),
        ({"max_new_tokens": 5, "max_length": 17}, {"max_new_tokens": None, "max_length": None}),
        ({"min_new_tokens": 15, "eos_token_id": "the 10th"}, {"min_new_tokens": None}),
    ],
    ids=str,
)
def test_none_switches_a_default_off(defaults: dict[str, Any], off: dict[str, Any]) -> None:
    if "eos_token_id" in defaults:
        tenth = plain_ids(with_defaults(), IDS, max_new_tokens=20)[9]
        defaults = defaults | {"eos_token_id": tenth}
    length = {} if "max_length" in off else {"max_new_tokens": 20}
    kept = {"eos_token_id": defaults["eos_token_id"]} if "min_new_tokens" in off else {}
    expected = plain_ids(with_defaults(**kept), IDS, **length)
    decoder = SpeculativeDecoder(with_defaults(**defaults), OWN)
    assert decoder.generate(IDS, **length, **off).token_ids == expected
    assert decoder.generate(IDS, **length).token_ids != expected
    if "stop_strings" not in off and "max_length" not in off:  # transformers itself stumbles there
        assert by_transformers(decoder.model, decoder, **length, **off) == expected


def test_top_k_is_switched_off_too() -> None:
    decoder = SpeculativeDecoder(with_defaults(do_sample=True, top_k=1), OWN)
    options: dict[str, Any] = {"max_new_tokens": 20, "seed": 1, "temperature": 5.0}
    greedy = decoder.generate(IDS, **options).token_ids
    drawn = decoder.generate(IDS, top_k=None, **options).token_ids
    assert drawn == decoder.generate(IDS, top_k=0, **options).token_ids != greedy


QUIET: list[dict[str, Any]] = [
    {"use_cache": False},
    {"cache_implementation": "static"},
    {"prompt_lookup_num_tokens": 3},
    {"num_assistant_tokens": 7},
    {"return_dict_in_generate": True, "output_scores": True},
]
CHANGED: list[dict[str, Any]] = [
    {"num_beams": 4},
    {"guidance_scale": 1.5},
    {"penalty_alpha": 0.6, "top_k": 4},
]


@pytest.mark.parametrize("defaults", [*QUIET, *CHANGED], ids=str)
def test_what_nobody_asked_for_is_left_aside(defaults: dict[str, Any]) -> None:
    expected = plain_ids(with_defaults(), IDS, max_new_tokens=8)
    decoder = SpeculativeDecoder(with_defaults(**defaults), OWN)
    name = next(iter(defaults))

    def generated() -> list[list[int]]:
        own = decoder.generate(IDS, max_new_tokens=8).token_ids
        several = decoder.generate([IDS, IDS], max_new_tokens=8)
        pipe = uag.pipeline(model=decoder.model, tokenizer=OWN)
        (piped,) = pipe(PROMPT, max_new_tokens=8, do_sample=False, return_tensors=True)
        return [own, *(each.token_ids for each in several), piped["generated_token_ids"][-8:]]

    if name in CHANGING:
        with pytest.warns(UagWarning, match=f"{name}=.*so the text may be another one") as seen:
            found = generated()
        assert len(seen) == 1
    else:
        found = generated()
    if "return_dict_in_generate" not in defaults:
        found.append(by_transformers(decoder.model, decoder, max_new_tokens=8))
    assert found == [expected] * len(found)
    asked: Any = defaults[name]
    if name not in ("num_assistant_tokens", "return_dict_in_generate"):
        for call in (decoder.generate, lambda _, **options: by_transformers(
            decoder.model, decoder, **options
        )):  # fmt: skip
            with pytest.raises(OptionError, match=f"^{name}="):
                call(IDS, max_new_tokens=8, **{name: asked})


def test_a_config_of_the_callers_own_asks_for_what_the_models_does_not() -> None:
    decoder = SpeculativeDecoder(with_defaults(num_beams=4), OWN)
    same = GenerationConfig(num_beams=4, max_new_tokens=3)
    with pytest.warns(UagWarning, match="num_beams=4"):
        assert len(decoder.generate(IDS, generation_config=same).token_ids) == 3
    other = GenerationConfig(num_beams=2, max_new_tokens=3)
    with pytest.raises(OptionError, match="num_beams=2"):
        decoder.generate(IDS, generation_config=other)


def test_rows_that_beams_have_repeated_are_decoded_once() -> None:
    decoder = SpeculativeDecoder(with_defaults(num_beams=4), OWN)
    rows = torch.tensor([IDS, IDS])
    with pytest.warns(UagWarning, match="num_beams=4"):
        out = decoder.model.generate(  # type: ignore[operator]
            rows,
            attention_mask=torch.ones_like(rows),
            custom_generate=decoder,
            max_new_tokens=4,
            prefix_allowed_tokens_fn=lambda row, _: [row + 5],
        )
    assert out[:, len(IDS) :].tolist() == [[5] * 4, [6] * 4]


@pytest.mark.parametrize(
    "shaping",
    [{"temperature": 0.0}, {"temperature": 0}, {"top_p": 0.5}, {"top_k": 5}, {"top_p": 0}],
    ids=str,
)
def test_shaping_beside_greedy_decoding_is_greedy(shaping: dict[str, Any]) -> None:
    decoder = SpeculativeDecoder(with_defaults(do_sample=True), OWN)
    expected = plain_ids(with_defaults(), IDS, max_new_tokens=8)
    options = {"do_sample": False, "max_new_tokens": 8} | shaping
    assert decoder.generate(IDS, **options).token_ids == expected
    assert by_transformers(decoder.model, decoder, **options) == expected


@pytest.mark.parametrize("idle", [{"seed": 3}, {"temperature": 0.7}, {"top_p": 0.5}], ids=str)
def test_shaping_without_sampling_is_said_once(idle: dict[str, Any]) -> None:
    decoder = SpeculativeDecoder(with_defaults(), OWN)
    name = next(iter(idle))
    with pytest.warns(UagWarning, match=f"^{name}: .*add do_sample=True") as seen:
        outs = [
            decoder.generate(IDS, max_new_tokens=2, **{name: value})
            for value in (idle[name], idle[name] / 2 if name != "seed" else 5)
        ]
    assert len(seen) == 1 and outs[0].seed is None


def test_a_seed_for_a_custom_method_that_does_not_sample_is_said() -> None:
    decoder = SpeculativeDecoder(with_defaults(), OWN)
    with pytest.warns(UagWarning, match=r"^seed: .*add do_sample=True"):
        by_transformers(decoder.model, decoder, max_new_tokens=2, seed=3)
    by_transformers(decoder.model, decoder, max_new_tokens=2, seed=4, do_sample=False)


@pytest.mark.parametrize("meant", [{"temperature": 0}, {"temperature": 1.0}, {"top_p": 1.0}])
def test_shaping_that_is_greedy_anyway_is_no_warning(meant: dict[str, Any]) -> None:
    SpeculativeDecoder(with_defaults(), OWN).generate(IDS, max_new_tokens=2, **meant)


def test_a_temperature_of_zero_while_sampling() -> None:
    decoder = SpeculativeDecoder(with_defaults(do_sample=True), OWN)
    with pytest.raises(OptionError, match=r"temperature=0 .* give do_sample=False"):
        decoder.generate(IDS, temperature=0)


def test_accepted_values_are_told_by_their_kind() -> None:
    assert is_supported("num_beams", 1) and not is_supported("num_beams", True)
    assert is_supported("guidance_scale", 1.0) and is_supported("anything", "else")
    for name, (accepted, remedy) in UNSUPPORTED.items():
        assert remedy and all(is_supported(name, value) for value in (*accepted, None))
        assert left_aside(GenerationConfig(**{name: accepted[0]})) == {}


def test_what_is_asked_for() -> None:
    models = GenerationConfig(top_p=0.9, num_beams=4)
    assert asked_for({"top_k": None}, None, models) == {"top_k": None}
    assert asked_for({"top_p": 1}, GenerationConfig(top_p=0.5), models) == {"top_p": 1}
    assert asked_for({}, transformers.GenerationConfig.from_dict(models.to_dict()), models) == {}
