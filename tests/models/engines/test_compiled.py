"""Shapes that stay the same give what reading at once gives; what can't be compiled says so.

Most tests compile with the backend "eager", which traces and guards but generates no code."""

import gc
import shutil
from random import Random
from typing import Any

import pytest
from transformers import PreTrainedModel

from tests.support.engines import check, check_giving_up
from tests.support.models import at_once, plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import OptionError, SpeculativeDecoder, compare
from uag.models.cached_lm import CachedLM
from uag.models.caches.rollback import RollbackCache
from uag.models.engines.compiled import LEAST, CompiledRunner, FixedCache

VOCABULARY = tokenizer("qwen2")


def reader(model: PreTrainedModel, engine: CompiledRunner) -> CachedLM:
    cache = engine.new_cache()
    assert isinstance(cache, FixedCache)
    return CachedLM(model, cache=cache)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "falcon", "mixtral"])
def test_any_rolling_back_and_reading_gives_what_reading_at_once_gives(architecture: str) -> None:
    model, random = random_model(architecture, VOCABULARY), Random(0)
    engine = CompiledRunner(model, "eager")
    # Two texts in turn, each with buffers of its own.
    texts = [reader(model, engine), reader(model, engine)]
    for round_ in range(16):
        lm = texts[round_ % 2]
        # Blocks of every width, and longer ones.
        added = [random.randrange(320) for _ in range(random.choice([1, 2, 3, 7, 12, 30, 40]))]
        lm.apply(max(0, len(lm.ids) - random.choice([0, 0, 1, 2, 3, 5, 12, 40])), added)
        check(lm, model, random.randint(1, min(4, len(lm.ids))))
        if random.random() < 0.4:
            length = len(lm.ids)
            rolled = lm.draft(3, lambda logits: logits.argmax(-1)).ids
            assert rolled == at_once(model, lm.ids)[length - 1 : -1].argmax(-1).tolist()
    assert str(engine) == "compiled" and engine.seconds > 0


def adds(_: Any, inputs: Any, output: Any) -> None:
    """A forward hook."""
    output.logits[..., 7] += 30


@pytest.mark.parametrize("first", [True, False])
def test_models_that_differ_in_hooks_only_are_compiled_apart(first: bool) -> None:
    for hooked in (first, not first):
        model = random_model("llama", VOCABULARY)
        if hooked:
            model.register_forward_hook(adds)
        lm = reader(model, CompiledRunner(model, "eager"))
        for added in ([1, 2, 3], [4], [5]):
            lm.append(added)
            check(lm, model, 1)


def test_a_hook_of_a_compiled_model_takes_effect() -> None:
    model = random_model("llama", VOCABULARY)
    lm = reader(model, CompiledRunner(model, "eager"))
    for added in ([1, 2, 3], [4], [5]):
        lm.append(added)
        check(lm, model, 1)
    with model.register_forward_hook(adds):
        lm.append([6])
        check(lm, model, 1)


def test_a_full_buffer_grows_and_the_next_text_has_it() -> None:
    model = random_model("llama", VOCABULARY)
    engine = CompiledRunner(model, "eager")
    for length in (LEAST - 10, 3 * LEAST, 5):
        lm = reader(model, engine)
        lm.append([id % 300 for id in range(length)])
        check(lm, model, 1)
        for _ in range(5):
            lm.append([7, 8, 9])
            check(lm, model, 3)
        del lm
        gc.collect()
    (buffers,) = engine._free
    assert buffers.size == 4 * LEAST


def test_blocks_are_not_padded_beyond_the_last_position() -> None:
    model = random_model("gpt2", VOCABULARY, n_positions=50)
    lm = reader(model, CompiledRunner(model, "eager"))
    for count in (40, 2, 3, 5):
        lm.append([7] * count)
        check(lm, model, 1)


OBSTACLES = {
    "mistral-window": "DynamicSlidingWindowLayer",
    "mamba": "MambaForCausalLM",
    "qwen3-next": "LinearAttention",
}


@pytest.mark.parametrize("architecture", OBSTACLES)
def test_what_cannot_be_compiled_runs_eagerly(architecture: str) -> None:
    engine = CompiledRunner(random_model(architecture, VOCABULARY), "eager")
    assert OBSTACLES[architecture] in str(engine) and str(engine).startswith("eager: ")
    assert isinstance(engine.new_cache(), RollbackCache)


def test_where_compiling_fails_the_text_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama", VOCABULARY)
    engine = CompiledRunner(model, "eager")

    def failing(**_: Any) -> None:
        raise RuntimeError("backend failed:\nno compiler\nand more")

    monkeypatch.setattr(engine, "_compiled", failing)
    match = "LlamaForCausalLM cannot be compiled.*: backend failed: no compiler$"
    check_giving_up(reader(model, engine), model, match)
    assert str(engine) == "eager: RuntimeError: backend failed: no compiler"


def pair(
    compile: bool | str, assistant_architecture: str = "llama", layers: int = 2
) -> SpeculativeDecoder:
    names = tokenizer("gpt2"), tokenizer("llama2")
    return SpeculativeDecoder(
        random_model("llama", names[0], num_hidden_layers=layers),
        names[0],
        random_model(assistant_architecture, names[1], seed=1, num_hidden_layers=1),
        names[1],
        compile=compile,
        lookahead=4,
    )


def same_texts(decoder: SpeculativeDecoder) -> None:
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    expected = plain_ids(decoder.model, ids, max_new_tokens=24)
    out = decoder.generate(PROMPT, max_new_tokens=24)
    assert out.token_ids == expected
    options = {"do_sample": True, "seed": 3, "max_new_tokens": 24}
    alone = SpeculativeDecoder(decoder.model, decoder.tokenizer)
    assert decoder.generate(PROMPT, **options).text == alone.generate(PROMPT, **options).text


def test_ids_and_seeds_stay_and_stats_say_how_it_ran() -> None:
    decoder = pair("eager", "mistral-window")
    same_texts(decoder)
    first, second = (decoder.generate(PROMPT, max_new_tokens=9).stats for _ in range(2))
    assert first.engines["target"] == "compiled"
    assert first.engines["assistant"].startswith("eager: a DynamicSlidingWindowLayer has no")
    assert second.compile_seconds == 0
    assert pair(compile=False).generate(PROMPT, max_new_tokens=2).stats.engines == {
        "target": "eager",
        "assistant": "eager",
    }


@pytest.mark.filterwarnings("ignore")  # of torch's own, where code is generated
def test_what_compiling_gains_is_told_from_what_drafts_gain() -> None:
    comparison = compare(pair(compile="eager"), PROMPT, runs=1, max_new_tokens=6)
    names = [method.name for method in comparison.methods]
    assert names == ["plain", "transformers", "plain compiled", "uag"]
    assert comparison.identical


def test_so_it_is_told_from_what_lookups_gain() -> None:
    decoder = pair(compile="eager")
    alone = SpeculativeDecoder(decoder.model, decoder.tokenizer, "lookup", compile="eager")
    comparison = compare(alone, PROMPT, runs=1, max_new_tokens=6, with_transformers=False)
    assert [method.name for method in comparison.methods] == ["plain", "plain compiled", "uag"]
    assert comparison.identical


# torch's own, where inductor is first imported.
@pytest.mark.filterwarnings("ignore:`torch.jit.*is deprecated:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_generated_code_leaves_ids_and_seeds() -> None:
    decoder = pair(compile=True, layers=1)  # of each layer a C++ compiler makes as much again
    same_texts(decoder)
    stats = decoder.generate(PROMPT, max_new_tokens=4).stats
    assert set(stats.engines.values()) == {"compiled"}


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match=r"compile='no-such': it must be .*inductor"):
        pair("no-such")


def test_compiling_leaves_the_model_unchanged() -> None:
    decoder = pair("eager")
    before = decoder.model.forward
    decoder.generate(PROMPT, max_new_tokens=3)
    assert decoder.model.forward == before
