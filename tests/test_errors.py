"""Bad input: an error that names the value and the remedy, and a decoder that still works."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from fakes import PROMPT, cache_in, random_model, tokenizer
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel
from uag import (
    Bridge,
    LoadError,
    LogitsError,
    OptionError,
    PromptError,
    SpeculativeDecoder,
    UagError,
    UnsupportedModelError,
    UnsupportedTokenizerError,
)
from uag.translation import core_tokenizer as reader
from uag.translation.self_check import disagreement


@pytest.fixture(scope="module")
def decoder() -> SpeculativeDecoder:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    return SpeculativeDecoder(models[0], target, models[1], assistant)


def check_usable(decoder: SpeculativeDecoder) -> None:
    assert len(decoder.generate(PROMPT, max_new_tokens=3).token_ids) == 3


BAD_PROMPTS: list[tuple[Any, str]] = [
    ("", "prompt is empty"),
    ([], "prompt is empty"),
    ([1, 2, 99999], "id 99999, but the target's ids go from 0 to 419"),
    ([5, -1], "id -1"),
    ("long " * 400, "window is 256"),
    (torch.zeros(2, 3, dtype=torch.long), r"shape \(2, 3\)"),
    ([5, "two"], "give a text, a chat or a list"),
    (7, "give a text, a chat or a list"),
]


@pytest.mark.parametrize(
    ("prompt", "message"), BAD_PROMPTS, ids=[message for _, message in BAD_PROMPTS]
)
def test_prompts_that_cannot_be_read(
    decoder: SpeculativeDecoder, prompt: Any, message: str
) -> None:
    def second(prompt: Any, **options: Any) -> None:
        decoder.generate([PROMPT, prompt], **options)

    for call in (decoder.generate, decoder.stream, second):
        with pytest.raises(PromptError, match=message):
            call(prompt, max_new_tokens=3)
    check_usable(decoder)


def test_a_stream_is_of_one_prompt(decoder: SpeculativeDecoder) -> None:
    with pytest.raises(PromptError, match="give a text, a chat or a list"):
        decoder.stream([PROMPT, PROMPT])


SEVERAL = GenerationConfig(do_sample=True, num_return_sequences=3)
BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 5}, "unknown option 'max_tokens'; did you mean 'max_new_tokens'"),
    ({"zebra": 5}, "unknown option 'zebra'"),
    ({"num_beams": 4}, "num_beams=4: beam search is not supported"),
    ({"num_return_sequences": 2}, "num_return_sequences=2, but greedy decoding"),
    ({"num_return_sequences": 0}, "num_return_sequences=0 is out of range"),
    (
        {"do_sample": True, "temperature": 0.0},
        "temperature=0.0 .* must be above 0",
    ),
    ({"do_sample": True, "temperature": -1}, "temperature=-1 is out of range"),
    ({"do_sample": True, "temperature": float("nan")}, "temperature=nan is out of range"),
    ({"do_sample": True, "temperature": float("inf")}, "temperature=inf is out of range"),
    ({"do_sample": True, "temperature": "hot"}, "temperature='hot' is out of range"),
    (
        {"do_sample": True, "top_p": 0.0},
        "top_p=0.0 .* at most 1",
    ),
    ({"do_sample": True, "top_p": 1.01}, "top_p=1.01 is out of range"),
    ({"do_sample": True, "top_p": float("nan")}, "top_p=nan is out of range"),
    ({"do_sample": True, "top_k": -1}, "top_k=-1 is out of range"),
    ({"do_sample": True, "top_k": 2.5}, "top_k=2.5 is out of range"),
    ({"do_sample": True, "min_p": 1.5}, "min_p=1.5 is out of range"),
    ({"do_sample": True, "typical_p": 0.0}, "typical_p=0.0 is out of range"),
    ({"do_sample": True, "epsilon_cutoff": 1.0}, "epsilon_cutoff=1.0 is out of range"),
    ({"do_sample": True, "eta_cutoff": -0.1}, "eta_cutoff=-0.1 is out of range"),
    ({"do_sample": True, "seed": -1}, r"seed=-1 is out of range: .* from 0 to 2\*\*63 - 1"),
    ({"do_sample": True, "seed": 2**63}, "is out of range"),
    ({"do_sample": True, "seed": 1.5}, "seed=1.5 is out of range"),
    ({"do_sample": True, "seed": True}, "seed=True is out of range"),
    ({"generation_config": GenerationConfig(do_sample=True, top_p=2.0)}, "top_p=2.0"),
    ({"generation_config": SEVERAL}, "give it to generate"),
    ({"guidance_scale": 2.0}, "guidance_scale=2.0"),
    ({"num_assistant_tokens": 7}, "give lookahead="),
    ({"cache_implementation": "static"}, "cache_implementation='static'"),
    ({"max_new_tokens": 0}, "max_new_tokens"),
    ({"max_new_tokens": -3}, "max_new_tokens"),
    ({"max_length": 3}, "max_length=3 leaves no room"),
    ({"repetition_penalty": -1.0}, "penalty"),
    ({"generation_config": GenerationConfig(num_beams=2)}, "num_beams=2"),
]


@pytest.mark.parametrize(
    ("options", "message"), BAD_OPTIONS, ids=[message for _, message in BAD_OPTIONS]
)
def test_options_that_cannot_be_met(
    decoder: SpeculativeDecoder, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        decoder.generate(PROMPT, **options)
    check_usable(decoder)


@pytest.mark.parametrize("lookahead", [0, -2, "fast", True, 1.5, None])
def test_lookahead_below_one_or_unknown(lookahead: Any) -> None:
    target = tokenizer("gpt2")
    with pytest.raises(OptionError, match=f"lookahead is {lookahead!r}"):
        SpeculativeDecoder(random_model("llama", target), target, lookahead=lookahead)


def test_unknown_model() -> None:
    with pytest.raises(LoadError, match="no/such-folder-here"):
        SpeculativeDecoder.from_pretrained("/no/such-folder-here", None)


def test_folder_without_tokenizer(tmp_path: Path) -> None:
    random_model("llama", tokenizer("gpt2")).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match=r"tokenizer.*tokenizer\.json"):
        SpeculativeDecoder.from_pretrained(str(tmp_path), None)


def test_folder_without_model(tmp_path: Path) -> None:
    tokenizer("gpt2").save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="cannot load a causal language model"):
        SpeculativeDecoder.from_pretrained(str(tmp_path), None)


def test_python_only_tokenizer() -> None:
    slow: Any = SimpleNamespace(is_fast=False, eos_token_id=None)
    with pytest.raises(UnsupportedTokenizerError, match=r"slow \(Python-only\) tokenizer"):
        Bridge(slow, tokenizer("gpt2"))


def test_tokenizer_of_another_model() -> None:
    small, large = tokenizer("bytes"), tokenizer("llama3")
    with pytest.raises(
        UnsupportedTokenizerError, match=r"target's tokenizer has \d+ ids but its model only 258"
    ):
        SpeculativeDecoder(random_model("llama", small), large)
    model = random_model("llama", large)
    with pytest.raises(UnsupportedTokenizerError, match="assistant's tokenizer"):
        SpeculativeDecoder(model, large, random_model("gpt2", small), large)


def test_unknown_special_token() -> None:
    with pytest.raises(UnsupportedTokenizerError, match="no token '<think>'"):
        Bridge(tokenizer("gpt2"), tokenizer("llama2"), special_pairs=[("<end>", "<think>")])


def build(name: str, **settings: Any) -> PreTrainedModel:
    config = getattr(transformers, f"{name}Config")(**settings)
    return getattr(transformers, f"{name}ForConditionalGeneration")(config)


def test_encoder_decoder() -> None:
    target = tokenizer("gpt2")
    model = build(
        "T5", d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=len(target)
    )
    with pytest.raises(
        UnsupportedModelError, match="T5ForConditionalGeneration is an encoder-decoder"
    ):
        SpeculativeDecoder(model, target)


def test_model_without_language_head() -> None:
    target = tokenizer("gpt2")
    body: Any = random_model("llama", target).model
    with pytest.raises(UnsupportedModelError, match="cannot generate"):
        SpeculativeDecoder(body, target)


def test_assistant_without_tokenizer() -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)
    with pytest.raises(UagError, match="assistant_tokenizer"):
        SpeculativeDecoder(model, target, model)


def test_larger_assistant_is_a_warning() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    with pytest.warns(UserWarning, match="assistant larger than its target"):
        SpeculativeDecoder(
            random_model("llama", target),
            target,
            random_model("llama", assistant, num_hidden_layers=4),
            assistant,
        )


def test_beams_by_the_models_defaults_are_a_warning() -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)
    model.generation_config.num_beams = 3
    decoder = SpeculativeDecoder(model, target)
    with pytest.warns(UserWarning, match="num_beams=3; going on with 1"):
        out = decoder.generate(PROMPT, max_new_tokens=5)
    assert len(out.token_ids) == 5 and model.generation_config.num_beams == 3


@pytest.mark.parametrize("draft_temperature", [0, -0.5, float("nan"), "warm"])
def test_draft_temperature_out_of_range(draft_temperature: Any) -> None:
    target = tokenizer("gpt2")
    with pytest.raises(OptionError, match="draft_temperature"):
        SpeculativeDecoder(
            random_model("llama", target), target, draft_temperature=draft_temperature
        )


def test_unknown_way_to_sample() -> None:
    target = tokenizer("gpt2")
    with pytest.raises(OptionError, match="sampling='gibbs': it must be coupled or rejection"):
        SpeculativeDecoder(random_model("llama", target), target, sampling="gibbs")


@pytest.mark.parametrize("sampling", ["coupled", "rejection"])
@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize("sound", [0, 4])
def test_nan_logits(do_sample: bool, sound: int, sampling: str) -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target)

    def spoil(_: object, __: object, named: dict[str, Any], output: Any) -> None:
        if cache_in(named).get_seq_length() > len(target(PROMPT)["input_ids"]) + sound:
            output.logits[:] = torch.nan

    hook = model.register_forward_hook(spoil, with_kwargs=True)
    decoder = SpeculativeDecoder(
        model, target, random_model("llama", target, seed=1), target, sampling=sampling
    )
    options = {"max_new_tokens": 12, "do_sample": do_sample}
    with pytest.raises(LogitsError, match=r"contain NaN.* load it in float32"):
        decoder.generate(PROMPT + " one", **options)
    hook.remove()
    assert len(decoder.generate(PROMPT, **options).token_ids) == 12


def test_options_that_leave_no_token(decoder: SpeculativeDecoder) -> None:
    def forbid(_: Any, scores: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scores, -torch.inf)

    with pytest.raises(LogitsError, match="leave no token"):
        decoder.generate(PROMPT, do_sample=True, logits_processor=LogitsProcessorList([forbid]))
    check_usable(decoder)


def test_a_bare_tokenizers_tokenizer_will_do() -> None:
    bare: tokenizers.Tokenizer = tokenizer("gpt2").backend_tokenizer
    assert Bridge(bare, tokenizer("llama2")).fast == (True, True)


def test_disagreement_with_the_tokenizer_goes_through_the_tokenizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "disagreement", lambda *_: "a text")
    with pytest.warns(UserWarning, match="disagrees with the tokenizer on 'a text'"):
        core = reader.core_tokenizer(tokenizer("gpt2"))
    assert not core.fast and "a text" in core.reason
    assert core.encode(PROMPT.encode()) == tokenizer("gpt2")(PROMPT)["input_ids"]


def test_the_fast_path_is_compared_with_the_tokenizer() -> None:
    # Two tokenizers that differ: what one says of a text is not what the other says.
    core = reader.core_tokenizer(tokenizer("gpt2"))
    other = tokenizer("llama3").backend_tokenizer
    assert disagreement(core, other) is not None
    own = tokenizer("gpt2").backend_tokenizer
    assert disagreement(core, own) is None
