"""Sampled tokens are those of a slow reference, for every option, whoever drafts."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, PreTrainedModel

from tests.support.models import plain_ids, random_model, with_story
from tests.support.noise import noise
from tests.support.pairs import READS_TOGETHER
from tests.support.scripted import ScriptedDecoder, scripted_pair
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag._core import Tokenizer
from uag.demo import demo_decoder
from uag.models.properties import cache_name
from uag.sampling.coupled import TokenNames, draft_factor, sequence_key
from uag.stats import Round

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["gpt2", "llama2", "bytes", "odd"])
def test_every_id_has_a_key_of_its_own(name: str) -> None:
    core = SpeculativeDecoder(random_model("llama", tokenizer(name)), tokenizer(name)).bridge.target
    names = TokenNames.of(core, core.vocab_size + 7, CPU)
    assert len(set(names.keys.tolist())) == core.vocab_size + 7
    assert min(names.moves) == 1 and names.moves == names.lengths.tolist()


def keys_by_text(core: Tokenizer) -> dict[bytes, int]:
    """The key of the token that a tokenizer uses for a text."""
    names = TokenNames.of(core, core.vocab_size, CPU)
    texts = [(core.token_bytes(id), id) for id in range(core.vocab_size)]
    return {text: int(names.keys[id]) for text, id in texts if text is not None}


def test_the_same_string_has_the_same_key_in_both_vocabularies() -> None:
    decoder = scripted_pair("llama2", "gpt2")
    first, second = keys_by_text(decoder.bridge.target), keys_by_text(decoder.bridge.assistant)
    shared = first.keys() & second.keys()
    # All letters among them: Llama's byte tokens do not take their keys.
    assert {letter.encode() for letter in "abcxyz "} <= shared
    assert all(first[text] == second[text] for text in shared)


def reference_ids(
    model: PreTrainedModel, core: Tokenizer, prompt: list[int], key: int, **options: Any
) -> list[int]:
    """One id at a time, without a cache: transformers' processors, then noise for every token."""
    rows = model.config.vocab_size
    names = TokenNames.of(core, rows, CPU)
    length = options.pop("max_new_tokens")
    custom = options.pop("logits_processor", None)
    config, _ = model._prepare_generation_config(GenerationConfig(do_sample=True, **options))
    model._prepare_special_tokens(config)
    processors = model._get_logits_processor(
        config, input_ids_seq_length=len(prompt), logits_processor=custom, device=CPU
    )
    ids, position = list(prompt), 0
    for _ in range(length):
        read = torch.tensor([ids])
        with torch.inference_mode():
            past = DynamicCache(config=model.config)
            model(input_ids=read[:, :-1], **{cache_name(model): past})
            logits = model(input_ids=read[:, -1:], **{cache_name(model): past}).logits[:, -1]
        scores = processors(read, logits.clone())[0].tolist()
        drawn = [
            score + noise(key, position, int(names.keys[id])) for id, score in enumerate(scores)
        ]
        ids.append(max(range(rows), key=drawn.__getitem__))
        position += names.moves[ids[-1]]
        if ids[-1] == model.config.eos_token_id:
            break
    return ids[len(prompt) :]


class Remembering:
    """Forbids what it allowed at the call before: right only if called once for each new id."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._calls += 1
        scores[:, self._calls % 3 :: 3] = -torch.inf
        return scores


OPTIONS: list[dict[str, Any]] = [
    {"top_k": 0},
    {"top_k": 5},
    {"top_k": 0, "temperature": 0.3},
    {"top_k": 0, "temperature": 2.5},
    {"top_k": 0, "top_p": 0.8},
    {"top_k": 0, "min_p": 0.1},
    {"top_k": 0, "typical_p": 0.7},
    {"top_k": 0, "epsilon_cutoff": 0.02},
    {"top_k": 0, "eta_cutoff": 0.02},
    {"top_k": 20, "top_p": 0.9, "temperature": 0.7, "renormalize_logits": True},
    {"repetition_penalty": 1.5},
    {"no_repeat_ngram_size": 2, "top_p": 0.9},
    {"bad_words_ids": [[270], [280, 281]]},
    {"suppress_tokens": [11, 12, 13, 300, 301], "top_p": 0.9},
    {"sequence_bias": [[[270], -5.0], [[290], 3.0]]},
    {"min_new_tokens": 12, "top_k": 0, "temperature": 3.0},
    {"exponential_decay_length_penalty": (5, 1.5)},
    {"top_k": 0, "logits_processor": Remembering},
]


@pytest.mark.parametrize("options", OPTIONS, ids=",".join)
def test_sampled_ids_are_those_of_the_reference(options: dict[str, Any]) -> None:
    decoder = scripted_pair("gpt2", "llama2")
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    key, length = sequence_key(5, prompt, 0), {"max_new_tokens": 24}

    def given_options() -> dict[str, Any]:
        custom = options.get("logits_processor")
        return options | ({"logits_processor": LogitsProcessorList([custom()])} if custom else {})

    expected = reference_ids(
        decoder.model, decoder.bridge.target, prompt, key, **length, **given_options()
    )
    out = decoder.generate(PROMPT, do_sample=True, seed=5, **length, **given_options())
    assert out.token_ids == expected
    assert out.stats.accepted


@pytest.mark.parametrize(("architecture", "pair"), READS_TOGETHER)
def test_any_draft_leaves_the_sampled_ids_of_any_target(
    architecture: str, pair: tuple[str, str]
) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    model = with_story(random_model(architecture, target), target)
    options: dict[str, Any] = {"do_sample": True, "seed": 3, "top_p": 0.95, "max_new_tokens": 40}
    alone = SpeculativeDecoder(model, target).generate(PROMPT, **options)
    small = random_model("llama", assistant, num_hidden_layers=1)
    for decoder in (
        ScriptedDecoder(model, target, small, assistant),
        SpeculativeDecoder(model, target, small, assistant, lookahead=3),
    ):
        assert decoder.generate(PROMPT, **options).token_ids == alone.token_ids
    # The draws are draws.
    assert alone.token_ids != plain_ids(model, target(PROMPT)["input_ids"], max_new_tokens=40)


def test_an_assistant_that_is_the_target_samples_what_the_target_samples() -> None:
    demo = demo_decoder(lookahead=6)
    model, own = demo.model, demo.tokenizer
    decoder = SpeculativeDecoder(model, own, model, own, lookahead=6, draft_temperature=1.0)
    out = decoder.generate("Once upon a time", do_sample=True, seed=1, max_new_tokens=80)
    # But for the id that a verification adds, and the few draws whose ids aren't their text's.
    assert out.stats.accepted > 0.9 * out.stats.candidates
    assert out.stats.tokens_per_forward > 5


def test_half_precision_is_sampled_in_full_precision() -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target).to(torch.bfloat16)
    decoder = SpeculativeDecoder(model, target, model, target)
    options: dict[str, Any] = {"do_sample": True, "seed": 1, "temperature": 2.0}
    out = decoder.generate(PROMPT, max_new_tokens=16, **options)
    assert len(set(out.token_ids)) > 4


def test_how_sharp_drafts_are_follows_how_they_went() -> None:
    def rounds(accepted: int) -> list[Round]:
        return [
            Round([0], accepted=0, drafted=6, drafted_accepted=accepted, candidates=6, seconds={})
        ] * 20

    assert draft_factor(rounds(0)) < 0.53 < draft_factor([]) < draft_factor(rounds(6)) <= 1
