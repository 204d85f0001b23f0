"""Drawn tokens: those of a slow reference, for every option, whoever drafts."""

import math
from typing import Any

import pytest
import torch
from fakes import PAIRS, PROMPT, ScriptedDecoder, plain_ids, random_model, telling, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from test_lossless import READS_TOGETHER
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, PreTrainedModel
from uag import SpeculativeDecoder
from uag._core import Tokenizer
from uag.demo import demo_decoder
from uag.models.properties import cache_name
from uag.sampling.coupled import TokenNames, draft_factor, sequence_key
from uag.sampling.noise import digest, gumbel, step_keys
from uag.stats import Round

CPU = torch.device("cpu")
U64 = 2**64


def mixed(bits: int) -> int:
    """Stafford's mix 13 over Python's numbers."""
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % U64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % U64
    return bits ^ (bits >> 31)


def noise(sequence: int, position: int, token: int) -> float:
    """One token's noise at one place, in double precision."""
    bits = mixed(mixed((sequence + position * 0x9E3779B97F4A7C15) % U64) ^ token % U64)
    chance = max(bits % 2**63 / 2**63, 2**-64)
    return -math.log(-math.log1p(-min(chance, 1 - 2**-24)))


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
)
def test_noise_is_that_of_plain_arithmetic(
    sequence: int, positions: list[int], tokens: list[int]
) -> None:
    found = gumbel(step_keys(sequence, positions, CPU), torch.tensor(tokens))
    expected = [[noise(sequence, position, token) for token in tokens] for position in positions]
    assert torch.allclose(found.double(), torch.tensor(expected, dtype=torch.double), atol=1e-5)


def test_noise_is_finite_at_both_ends() -> None:
    # The finaliser is a bijection; these are the inputs that it takes to the extremes.
    def unmixed(bits: int) -> int:
        for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
            whole = bits
            for _ in range(64 // shift + 1):
                whole = bits ^ (whole >> shift)
            bits = whole * pow(factor, -1, U64) % U64
        return bits

    extremes = [0, 1, 2**63 - 1, 2**63, U64 - 1]
    assert [mixed(unmixed(bits)) for bits in extremes] == extremes
    tokens = torch.tensor([unmixed(bits) - U64 * (unmixed(bits) >= 2**63) for bits in extremes])
    found = gumbel(torch.tensor([0]), tokens)[0]
    assert found.isfinite().all()
    assert found.max() > 43 and found.min() > -2.9


def test_noise_has_gumbel_moments_and_no_correlations() -> None:
    keys = torch.tensor([digest("token", id) for id in range(1000)])
    found = gumbel(step_keys(digest("text"), range(1000), CPU), keys).double()
    assert abs(found.mean() - 0.5772) < 0.005
    assert abs(found.var() - math.pi**2 / 6) < 0.01
    for other in (found.roll(1, 0), found.roll(1, 1), found.T):
        both = torch.stack([found.flatten(), other.flatten()])
        assert abs(torch.corrcoef(both)[0, 1]) < 0.005 or torch.equal(other, found)


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
    decoder = decoder_of("llama2", "gpt2")
    first, second = keys_by_text(decoder.bridge.target), keys_by_text(decoder.bridge.assistant)
    shared = first.keys() & second.keys()
    # All letters among them: Llama's byte tokens do not take their keys.
    assert {letter.encode() for letter in "abcxyz "} <= shared
    assert all(first[text] == second[text] for text in shared)


def decoder_of(target: str, assistant: str | None = None) -> ScriptedDecoder:
    first = tokenizer(target)
    model = telling(random_model("llama", first), first)
    if assistant is None:
        return ScriptedDecoder(model, first)
    second = tokenizer(assistant)
    small = random_model("llama", second, num_hidden_layers=1)
    return ScriptedDecoder(model, first, small, second, lookahead=5)


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
def test_draws_are_those_of_the_reference(options: dict[str, Any]) -> None:
    decoder = decoder_of("gpt2", "llama2")
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
def test_any_draft_leaves_the_draws_of_any_target(architecture: str, pair: tuple[str, str]) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    model = telling(random_model(architecture, target), target)
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


def test_an_assistant_that_is_the_target_draws_what_the_target_draws() -> None:
    demo = demo_decoder(lookahead=6)
    model, own = demo.model, demo.tokenizer
    decoder = SpeculativeDecoder(model, own, model, own, lookahead=6, draft_temperature=1.0)
    out = decoder.generate("Once upon a time", do_sample=True, seed=1, max_new_tokens=80)
    # But for the id that a verification adds, and the few draws whose ids aren't their text's.
    assert out.stats.accepted > 0.9 * out.stats.candidates
    assert out.stats.tokens_per_forward > 5


def test_a_seed_is_one_text_and_every_text_another() -> None:
    decoder = decoder_of("gpt2", "llama2")
    options: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "max_new_tokens": 16}
    outs = [decoder.generate(PROMPT, seed=seed, **options) for seed in (0, 1, 0, 2**63 - 1)]
    ids = [out.token_ids for out in outs]
    assert ids[0] == ids[2] and len({*map(tuple, ids)}) == 3
    assert [out.seed for out in outs] == [0, 1, 0, 2**63 - 1]
    several = decoder.generate(PROMPT, num_return_sequences=3, seed=0, **options)
    assert several[0].token_ids == ids[0]
    assert len({tuple(out.token_ids) for out in several}) == 3


def test_rows_are_the_prompts_alone_and_equal_prompts_differ() -> None:
    scripted = decoder_of("gpt2", "llama2")
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
    decoder = decoder_of("gpt2", "llama2")
    options: dict[str, Any] = {"do_sample": True, "max_new_tokens": 12}
    torch.manual_seed(11)
    first, second = (decoder.generate(PROMPT, **options) for _ in range(2))
    assert first.seed != second.seed and first.token_ids != second.token_ids
    assert decoder.generate(PROMPT, seed=second.seed, **options).token_ids == second.token_ids
    torch.manual_seed(11)
    stream = decoder.stream(PROMPT, **options)
    assert (stream.seed, "".join(stream)) == (first.seed, first.text)
    assert stream.stats.token_ids == first.token_ids


def test_greedy_decoding_has_no_seed_and_leaves_torchs_generator() -> None:
    decoder = decoder_of("gpt2", "llama2")
    before = torch.get_rng_state()
    assert decoder.generate(PROMPT, seed=3, max_new_tokens=5).seed is None
    assert torch.equal(before, torch.get_rng_state())


def test_the_models_defaults_may_ask_for_draws() -> None:
    decoder = decoder_of("gpt2", "llama2")
    decoder.model.generation_config.do_sample = True
    decoder.model.generation_config.temperature = 0.5
    out = decoder.generate(PROMPT, seed=1, max_new_tokens=12)
    asked = decoder.generate(PROMPT, seed=1, max_new_tokens=12, do_sample=True, temperature=0.5)
    assert (out.seed, out.token_ids) == (1, asked.token_ids)
    assert decoder.generate(PROMPT, do_sample=False, max_new_tokens=5).seed is None


def test_a_time_limit_is_for_all_texts_of_a_call() -> None:
    decoder = SpeculativeDecoder(*[decoder_of("gpt2").model, tokenizer("gpt2")])
    outs = decoder.generate(
        PROMPT, do_sample=True, num_return_sequences=3, max_time=1e-6, max_new_tokens=50
    )
    assert [len(out.token_ids) for out in outs] == [1, 1, 1]


def test_half_precision_is_drawn_in_full_precision() -> None:
    target = tokenizer("gpt2")
    model = random_model("llama", target).to(torch.bfloat16)
    decoder = SpeculativeDecoder(model, target, model, target)
    options: dict[str, Any] = {"do_sample": True, "seed": 1, "temperature": 2.0}
    out = decoder.generate(PROMPT, max_new_tokens=16, **options)
    assert len(set(out.token_ids)) > 4


@pytest.mark.parametrize("pair", PAIRS)
def test_rejection_draws_whatever_the_pair(pair: tuple[str, str]) -> None:
    target, assistant = (tokenizer(name) for name in pair)
    model = telling(random_model("llama", target), target)
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


def test_how_sharp_drafts_are_follows_how_they_went() -> None:
    def rounds(accepted: int) -> list[Round]:
        return [
            Round([0], accepted=0, drafted=6, drafted_accepted=accepted, candidates=6, seconds={})
        ] * 20

    assert draft_factor(rounds(0)) < 0.53 < draft_factor([]) < draft_factor(rounds(6)) <= 1
