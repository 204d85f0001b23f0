"""Captured passes give what reading at once gives, on a stand-in for CUDA graphs."""

import gc
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.support.models import ARCHITECTURES, at_once, plain_ids, random_model
from tests.support.recorded import RecordedGraphs
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.errors import OptionError, UagWarning
from uag.models.cached_lm import CachedLM
from uag.models.caches.rollback import RollbackCache
from uag.models.engines import graphs
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.graphs import GraphCache, GraphRunner

VOCABULARY = tokenizer("qwen2")
WITH_GRAPHS = ["llama", "mistral-window", "mixtral", "gemma2", "gemma3", "qwen2", "qwen3", "phi3",
               "gpt2", "gpt-neox"]  # fmt: skip
LONGROPE: dict[str, Any] = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4, "original_max_position_embeddings": 40,
}  # fmt: skip


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecordedGraphs]]:
    """Every capturer that was made; on a CPU there are stand-ins."""
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    RecordedGraphs.made.clear()
    yield RecordedGraphs.made
    RecordedGraphs.made.clear()


def reader(model: PreTrainedModel, runner: GraphRunner) -> CachedLM:
    cache = runner.new_cache()
    assert isinstance(cache, GraphCache), str(runner)
    return CachedLM(model, cache=cache)


def check(lm: CachedLM, model: PreTrainedModel, positions: int) -> None:
    torch.testing.assert_close(
        lm.logits(positions), at_once(model, lm.ids)[-positions:], atol=2e-4, rtol=1e-4
    )


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_any_rolling_back_and_reading_gives_what_reading_at_once_gives(
    architecture: str, recorded: list[RecordedGraphs]
) -> None:
    model, random = random_model(architecture, VOCABULARY), Random(0)
    runner = GraphRunner(model)
    # Two texts in turn, each with memory of its own.
    texts = [reader(model, runner), reader(model, runner)]
    for round_ in range(24):
        lm = texts[round_ % 2]
        added = [random.randrange(320) for _ in range(random.choice([1, 2, 3, 3, 5, 7, 30, 40]))]
        lm.apply(max(0, len(lm.ids) - random.choice([0, 0, 1, 2, 3, 5, 12, 40])), added)
        if len(lm.ids) < 250:  # of 256 positions
            check(lm, model, random.randint(1, min(4, len(lm.ids))))
    assert str(runner) == "graphs" and runner.seconds > 0
    assert recorded[0].replays > 10


def test_positions_of_padding_do_not_switch_the_rope_of_a_text() -> None:
    model = random_model("phi3", VOCABULARY, rope_parameters=LONGROPE)
    lm = reader(model, GraphRunner(model))
    lm.append([7] * 33)
    check(lm, model, 1)
    for count in (5, 1, 1):  # in blocks of 6, 1, 1; the last of the text is the 40th
        lm.append([8] * count)
        check(lm, model, count)


def test_memory_is_lent_to_the_next_text_without_what_the_last_one_left(
    recorded: list[RecordedGraphs],
) -> None:
    model = random_model("llama", VOCABULARY)
    runner = GraphRunner(model)
    for start in ([3], [3, 4, 5, 6]):
        lm = reader(model, runner)
        for added in (start, [5], [6, 7], [8]):
            lm.append(added)
            check(lm, model, 1)
        # As a text leaves it whose logits were NaN.
        for layer in lm.cache._text.layers:  # type: ignore[attr-defined]
            layer.values.fill_(torch.nan)
        del lm
        gc.collect()
    assert recorded[0].captured == 2 + 1  # widths 1 and 2; and 4, of the second text's first pass


def test_a_full_buffer_grows_and_its_graphs_are_captured_again() -> None:
    model = random_model("llama", VOCABULARY, max_position_embeddings=2048)
    runner = GraphRunner(model)
    lm = reader(model, runner)
    for length in (250, 3, 2, 3, 400, 1, 1):
        lm.append([id % 300 for id in range(length)])
        check(lm, model, 1)
    assert lm.cache._text.slots.size == 1024  # type: ignore[attr-defined]


def test_a_long_prompt_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "PIECE", 40)
    model = random_model("mistral-window", VOCABULARY)
    lm = reader(model, GraphRunner(model))
    lm.append([id % 300 for id in range(130)])
    check(lm, model, 50)
    assert lm.cache.width == 50


def test_blocks_are_not_padded_beyond_the_last_position() -> None:
    model = random_model("gpt2", VOCABULARY, n_positions=50)
    lm = reader(model, GraphRunner(model))
    for count in (40, 5, 2, 3):
        lm.append([7] * count)
        check(lm, model, 1)


OBSTACLES = {
    "mamba": "MambaForCausalLM without waiting",
    "qwen3-next": "LinearAttention",
    "lfm2": "Linear",
}


@pytest.mark.parametrize("architecture", OBSTACLES)
def test_what_cannot_be_captured_runs_eagerly(architecture: str) -> None:
    runner = GraphRunner(random_model(architecture, VOCABULARY))
    assert OBSTACLES[architecture] in str(runner) and str(runner).startswith("eager: ")
    assert isinstance(runner.new_cache(), RollbackCache)


def test_experts_that_the_host_chooses_are_not_captured() -> None:
    model = random_model("mixtral", VOCABULARY)
    model.set_experts_implementation("eager")
    assert "its experts are read one by one" in str(GraphRunner(model))


def test_every_architecture_is_known_here() -> None:
    eagerly = {"gpt-bigcode", "falcon"}  # see the test of failing captures
    assert {*WITH_GRAPHS, *OBSTACLES, *eagerly} == set(ARCHITECTURES)


def test_where_a_capture_fails_the_text_continues() -> None:
    """Falcon's attention indexes by a list of the host in each pass."""
    model = random_model("falcon", VOCABULARY)
    runner = GraphRunner(model)
    if runner.reason:
        pytest.skip(runner.reason)
    lm = reader(model, runner)
    lm.append([5] * 40)
    check(lm, model, 1)
    lm.append([6, 7])
    with pytest.warns(
        UagWarning, match="FalconForCausalLM runs eagerly, without graphs: a pass ca"
    ):
        check(lm, model, 2)
    lm.append([8])
    check(lm, model, 1)
    assert str(runner).startswith("eager: a pass cannot be captured: CaptureError")


class Frozen(RecordedGraphs):
    """Replays nothing: results stay those of the place where they were captured."""

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        super().capture(run)
        return lambda: None


def test_a_capture_that_is_wrong_elsewhere_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", Frozen)
    model = random_model("llama", VOCABULARY)
    runner = GraphRunner(model)
    lm = reader(model, runner)
    lm.append([5] * 40)
    check(lm, model, 1)
    lm.append([6, 7])
    with pytest.warns(UagWarning, match="a captured pass gives other logits at another place"):
        check(lm, model, 2)
    lm.append([8])
    check(lm, model, 1)
    assert "another place" in str(runner)


def adds(_: Any, inputs: Any, output: Any) -> None:
    """A forward hook."""
    output.logits[..., 7] += 30


def test_hooks_and_new_weights_take_effect_with_the_next_text() -> None:
    model = random_model("llama", VOCABULARY)
    runner = GraphRunner(model)

    def read() -> None:
        lm = CachedLM(model, cache=runner.new_cache())
        for added in ([1, 2, 3], [4], [5]):
            lm.append(added)
            check(lm, model, 1)

    read()
    gc.collect()
    with model.register_forward_hook(adds):
        read()
        assert "LlamaForCausalLM has hooks" in str(runner)
    read()
    assert str(runner) == "graphs"
    gc.collect()
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.flip(0).clone())
    read()
    model.train()
    assert "training" in str((runner.new_cache(), runner)[1])


def pair(engine: str, assistant: str = "llama") -> SpeculativeDecoder:
    names = tokenizer("gpt2"), tokenizer("llama2")
    return SpeculativeDecoder(
        random_model("llama", names[0]),
        names[0],
        random_model(assistant, names[1], seed=1, num_hidden_layers=1),
        names[1],
        engine=engine,
        lookahead=3,
    )


def test_a_decoder_with_graphs_gives_the_same() -> None:
    decoder, eager = pair("graphs"), pair("eager")
    asked: dict[str, Any] = {"max_new_tokens": 30}
    out = decoder.generate(PROMPT, **asked)
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    assert out.token_ids == plain_ids(decoder.model, ids, **asked)
    assert out.stats.engines == {"target": "graphs", "assistant": "graphs"}
    assert out.stats.compile_seconds > 0
    asked |= {"do_sample": True, "seed": 3}
    for sampling in ({}, {"temperature": 0.7, "top_k": 20, "top_p": 0.9}):
        drawn = decoder.generate(PROMPT, **asked, **sampling)
        same = eager.generate(PROMPT, **asked, **sampling)
        assert drawn.token_ids == same.token_ids
        assert drawn.stats.drafted == same.stats.drafted


def test_where_graphs_can_be_captured_they_are_the_default() -> None:
    assert str(pair("auto")._engine.runners["target"]) == "graphs"
    del CAPTURERS["cpu"]
    assert str(pair("auto")._engine.runners["target"]) == "eager"
    asked = pair("graphs").generate(PROMPT, max_new_tokens=4).stats.engines
    assert asked["target"] == "eager: graphs are captured on CUDA devices, and it is on cpu"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "fast"}, "engine='fast': it must be one of 'auto', 'eager', 'graphs', 'compi"),
        ({"engine": 3}, "engine=3"),
        ({"engine": "graphs", "compile": True}, "engine='graphs' and compile=True are two engines"),
        ({"engine": "eager", "compile": "eager"}, "are two engines"),
    ],
)
def test_engines_that_there_are_not(options: dict[str, Any], message: str) -> None:
    names = tokenizer("gpt2")
    with pytest.raises(OptionError, match=message):
        SpeculativeDecoder(random_model("llama", names), names, **options)
