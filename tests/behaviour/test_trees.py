"""Trees of drafts leave the output, whatever is in them."""

from types import SimpleNamespace
from typing import Any
from warnings import catch_warnings, simplefilter

import pytest

from tests.behaviour.test_lossless import OPTIONS
from tests.support.branching import branch
from tests.support.models import plain_ids, random_model
from tests.support.pairs import PAIRS
from tests.support.scripted import scripted_target
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UagWarning
from uag.demo import demo_decoder

# Those that have layers of each kind that reads trees.
ARCHITECTURES = ["llama", "gpt2", "gemma2", "mistral-window", "gemma3", "gpt-neox"]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("lookahead", [1, 3, 9])
def test_any_tree_leaves_the_output_of_any_pair(pair: tuple[str, str], lookahead: int) -> None:
    decoder = branch(scripted_target("llama", pair, lookahead))
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], max_new_tokens=48)
    outs = [decoder.generate(PROMPT, max_new_tokens=48) for _ in range(3)]
    assert [out.token_ids for out in outs] == [expected] * 3
    rounds = [done for out in outs for done in out.stats.history if done.tree is not None]
    assert all(out.stats.accepted < out.stats.candidates for out in outs)
    assert any(done.accepted for done in rounds)
    assert lookahead == 1 or any(done.accepted > 1 for done in rounds)
    assert all(done.judged <= done.drafted for done in rounds)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_any_tree_leaves_the_output_of_any_target(architecture: str) -> None:
    decoder = branch(scripted_target(architecture, ("gpt2", "llama2")))
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], max_new_tokens=48)
    assert decoder.generate(PROMPT, max_new_tokens=48).token_ids == expected


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "defaults")
def test_options_mean_what_they_mean_to_transformers(options: dict[str, Any]) -> None:
    decoder = branch(scripted_target("llama", ("gpt2", "llama2")))
    expected = plain_ids(decoder.model, decoder.tokenizer(PROMPT)["input_ids"], **options)
    assert decoder.generate(PROMPT, **options).token_ids == expected


@pytest.mark.parametrize("options", [{"top_p": 0.9}, {"repetition_penalty": 1.2}, {"top_k": 5}])
def test_any_tree_leaves_the_text_of_a_seed(options: dict[str, Any]) -> None:
    decoder = branch(scripted_target("llama", ("gpt2", "llama2")))
    alone = SpeculativeDecoder(decoder.model, decoder.tokenizer)
    for seed in range(4):
        sampled = {"do_sample": True, "seed": seed, "max_new_tokens": 32, **options}
        out = decoder.generate(PROMPT, **sampled)
        assert out.token_ids == alone.generate(PROMPT, **sampled).token_ids


def test_a_stop_string_ends_a_text_in_the_middle_of_a_path() -> None:
    decoder = branch(scripted_target("llama", ("gpt2", "llama2")))
    whole = decoder.generate(PROMPT, max_new_tokens=40)
    for begin in range(0, len(whole.text) - 4, 5):
        stop = whole.text[begin : begin + 3]
        out = decoder.generate(PROMPT, max_new_tokens=40, stop_strings=[stop])
        assert out.token_ids == whole.token_ids[: len(out.token_ids)]
        assert stop in out.text and len(out.text) <= begin + 3 + 12


@pytest.mark.parametrize("lookahead", ["auto", 4])
@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 3}])
def test_siblings_of_an_assistants_drafts(lookahead: int | str, options: dict[str, Any]) -> None:
    demo = demo_decoder()
    parts = demo.model, demo.tokenizer, demo.assistant, demo.assistant_tokenizer
    decoder = SpeculativeDecoder(*parts, lookahead=lookahead, lookup=False, tree=15)
    alone = SpeculativeDecoder(demo.model, demo.tokenizer)
    for prompt in ("Once upon a time", "The dog saw"):
        out = decoder.generate(prompt, max_new_tokens=60, **options)
        assert out.token_ids == alone.generate(prompt, max_new_tokens=60, **options).token_ids
        assert out.stats.assistant_error == ""
    if lookahead == 4:  # "auto" leaves siblings out where they don't pay
        assert any(done.tree is not None and done.candidates > 1 for done in out.stats.history)
        chains = SpeculativeDecoder(*parts, lookahead=4).generate(prompt, max_new_tokens=60)
        assert options or out.stats.target_forwards <= chains.stats.target_forwards


def has_no_trees(decoder: SpeculativeDecoder, prompts: list[str], why: str, **options: Any) -> None:
    """Checks that a tree has no effect on texts, and that it is said once why, with a remedy."""
    with pytest.warns(UagWarning) as warned:
        outs = [*decoder.generate(prompts, **options), *decoder.generate(prompts, **options)]
    said = [str(each.message) for each in warned if "tree=" in str(each.message)]
    assert len(said) == 1 and said[0].startswith(f"tree=15 has no effect: {why}")
    assert "leave tree out" in said[0]
    for out in outs:
        assert said[0].endswith(out.stats.chains) and out.stats.as_dict()["chains"]
        assert all(done.tree is None for done in out.stats.history)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> SpeculativeDecoder:
    monkeypatch.setattr("uag.errors._warned", set())
    return demo_decoder()


@pytest.mark.parametrize(
    ("changes", "prompts", "why"),
    [
        ({}, ["Once upon a time", "The dog"], "texts that share passes have chains"),
        ({"sampling": "rejection"}, ["Once"], 'sampling="rejection" verifies chains'),
        ({"compile": "eager"}, ["Once"], "a compiled target reads chains"),
    ],
)
def test_what_verifies_no_trees_says_so(
    demo: SpeculativeDecoder, changes: dict[str, Any], prompts: list[str], why: str
) -> None:
    parts = demo.model, demo.tokenizer, demo.assistant, demo.assistant_tokenizer
    decoder = SpeculativeDecoder(*parts, lookahead=4, tree=15, **changes)
    has_no_trees(decoder, prompts, why, max_new_tokens=8, do_sample=True, seed=1)


@pytest.mark.parametrize(
    ("assistant", "why"),
    [
        (None, "nothing drafts"),
        ("lookup", "looked-up text is a chain"),
        (SimpleNamespace(propose=lambda *_: b" a"), "a Drafter proposes a chain"),
    ],
)
def test_what_drafts_no_trees_says_so(demo: SpeculativeDecoder, assistant: Any, why: str) -> None:
    decoder = SpeculativeDecoder(demo.model, demo.tokenizer, assistant, tree=15)
    has_no_trees(decoder, ["Once"], why, max_new_tokens=8)


@pytest.mark.parametrize(
    ("architecture", "why"),
    [
        ("qwen3-next", "Qwen3NextForCausalLM keeps a LinearAttentionLayer, which has no branches"),
        ("lfm2", "Lfm2ForCausalLM keeps a "),
        ("mamba", "MambaForCausalLM gives other logits in one pass over several ids"),
    ],
)
def test_a_target_that_reads_no_trees_says_so(
    architecture: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uag.errors._warned", set())
    own, other = tokenizer("gpt2"), tokenizer("llama2")
    target, assistant = random_model(architecture, own), random_model("llama", other, seed=1)
    with catch_warnings():
        simplefilter("ignore", UagWarning)  # Mamba's drafts are switched off
        decoder = SpeculativeDecoder(target, own, assistant, other, lookahead=3, tree=15)
    has_no_trees(decoder, [PROMPT], why, max_new_tokens=24)
    out = decoder.generate(PROMPT, max_new_tokens=24)
    assert out.token_ids == plain_ids(target, own(PROMPT)["input_ids"], max_new_tokens=24)
    assert out.stats.drafted or architecture == "mamba"


def test_a_tree_that_has_its_effect_is_not_talked_about(demo: SpeculativeDecoder) -> None:
    parts = demo.model, demo.tokenizer, demo.assistant, demo.assistant_tokenizer
    outs = [
        SpeculativeDecoder(*parts, lookahead=4, tree=tree).generate("Once", max_new_tokens=8)
        for tree in (0, 15)
    ]
    assert [out.stats.chains for out in outs] == ["", ""]
    assert any(done.tree is not None for done in outs[1].stats.history)
