"""Captured passes give what reading at once gives, on a stand-in for CUDA graphs."""

import gc
from collections.abc import Callable
from contextvars import copy_context
from random import Random
from typing import Any

import pytest
import torch

from tests.support.engines import (
    WITH_GRAPHS,
    check,
    check_drafts,
    check_giving_up,
    check_reading,
    check_siblings,
    reader,
)
from tests.support.models import ARCHITECTURES, plain_ids, random_model
from tests.support.recorded import RecordedGraphs, recorded_graphs
from tests.support.tokenizers import PROMPT, tokenizer
from tests.support.trees import check_trees, true_logits
from uag import SpeculativeDecoder, compare
from uag.clock import set_clock
from uag.demo import demo_decoder
from uag.errors import OptionError, UagWarning
from uag.models.cached_lm import CachedLM
from uag.models.caches.rollback import RollbackCache
from uag.models.engines import graphs, static_text
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.graphs import GraphRunner
from uag.sampling.alternatives import Alternatives
from uag.sampling.coupled import DraftSampling, DraftShape, TokenNames
from uag.sampling.greedy import MostLikely
from uag.sampling.noise import digest
from uag.translation.core_tokenizer import core_tokenizer

VOCABULARY = tokenizer("qwen2")


recorded = pytest.fixture(autouse=True)(recorded_graphs)


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_any_rolling_back_and_reading_gives_what_reading_at_once_gives(
    architecture: str, recorded: list[RecordedGraphs]
) -> None:
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_reading(model, runner)
    assert str(runner) == "graphs" and runner.seconds > 0
    assert recorded[0].replays > 10


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
    monkeypatch.setattr(graphs, "PIECE", 70)
    model = random_model("mistral-window", VOCABULARY)
    lm = reader(model, GraphRunner(model))
    lm.append([id % 300 for id in range(300)])
    check(lm, model, 90)
    assert lm.cache.width == 300


def test_ids_of_a_few_graphs_are_read_by_them(recorded: list[RecordedGraphs]) -> None:
    model = random_model("mistral-window", VOCABULARY)
    runner = GraphRunner(model)
    lm = reader(model, runner)
    for count, positions, width in ((3, 1, 3), (32, 1, 32), (70, 1, 72), (50, 40, 64), (90, 1, 96)):
        lm.append([id % 300 for id in range(count)])
        replays = recorded[0].replays
        check(lm, model, positions)
        assert lm.cache.width == width
        assert count == 3 or recorded[0].replays - replays >= -(-count // 64)


def test_blocks_are_not_padded_beyond_the_last_position() -> None:
    model = random_model("gpt2", VOCABULARY, n_positions=50)
    lm = reader(model, GraphRunner(model))
    for count in (40, 5, 2, 3):
        lm.append([7] * count)
        check(lm, model, 1)


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """What cannot be captured: it is not known what it keeps."""
    return logits.argmax(-1)


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_a_draft_feeds_itself(
    architecture: str, recorded: list[RecordedGraphs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_text, "LEAST", 32)
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_drafts(model, runner, MostLikely(), greedy)
    assert recorded[0].replays > 60
    assert not runner.reason


def test_ids_after_the_end_of_a_draft_are_cut() -> None:
    model = random_model("llama", VOCABULARY)
    lm, eager = reader(model, GraphRunner(model)), CachedLM(model)
    for each in (lm, eager):
        each.append([7, 8, 9])
    ids = eager.draft(12, greedy).ids
    end = next(id for at, id in enumerate(ids) if at > 3)
    assert lm.draft(12, MostLikely(), {end}).ids == ids[: ids.index(end) + 1]


def test_more_ids_than_a_graph_has_room_for_are_drafted_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graphs, "MOST_STEPS", 4)
    model = random_model("llama", VOCABULARY)
    lm, eager = reader(model, GraphRunner(model)), CachedLM(model)
    for each in (lm, eager):
        each.append([7, 8, 9])
    assert lm.draft(12, MostLikely()).ids == eager.draft(12, greedy).ids


@pytest.mark.parametrize(
    "shape", [DraftShape(), DraftShape(0.6, top_k=7), DraftShape(1.3, top_p=0.8, min_p=0.02)]
)
def test_drawn_drafts_freeze_neither_key_nor_temperature_nor_position(
    shape: DraftShape, recorded: list[RecordedGraphs]
) -> None:
    names = tokenizer("llama2")
    model = random_model("llama", names)
    rows = model.config.vocab_size
    tokens = TokenNames.of(core_tokenizer(names), rows, model.device)
    lm, eager = reader(model, GraphRunner(model)), CachedLM(model)
    for each in (lm, eager):
        each.append([7, 8, 9])
    seen = set[tuple[int, ...]]()
    for seed in range(6):
        sharp = shape.sharper(1 - seed / 10)
        drafted = [
            each.draft(8, DraftSampling(tokens, digest(seed), lambda: sharp, lambda: 11 * seed)())  # noqa: B023
            for each in (lm, eager)
        ]
        assert drafted[0].ids == drafted[1].ids
        seen.add(tuple(drafted[0].ids))
        for each in (lm, eager):
            each.roll_back(3)
    assert len(seen) > 3
    assert recorded[0].captured <= 4  # of passes of 3 ids and of one, and of steps


@pytest.mark.parametrize("most", [graphs.MOST_STEPS, 4])
def test_siblings_are_those_that_the_host_finds(
    most: int, recorded: list[RecordedGraphs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By captured steps, or step by step where there are more than graphs have room for."""
    monkeypatch.setattr(graphs, "MOST_STEPS", most)
    names = tokenizer("llama2")
    model = random_model("llama", names)
    tokens = TokenNames.of(core_tokenizer(names), model.config.vocab_size, model.device)
    runner = GraphRunner(model)
    check_siblings(model, runner, tokens)
    assert str(runner) == "graphs"
    # Greedy and drawn steps, each with and without the options that leave ids out: temperatures
    # share them.
    assert recorded[0].captured <= 2 + 4


def test_ids_and_siblings_come_to_the_host_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama", VOCABULARY)
    lm = reader(model, GraphRunner(model))
    lm.append([7, 8, 9])
    lm.draft(4, MostLikely(), score=Alternatives(DraftShape()))
    copies: list[tuple[int, ...]] = []
    cpu = torch.Tensor.cpu

    def counted(tensor: torch.Tensor) -> torch.Tensor:
        copies.append(tuple(tensor.shape))
        return cpu(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", counted)
    draft = lm.draft(6, MostLikely(), score=Alternatives(DraftShape()))
    assert draft.tree is not None and draft.tree.ids[:6] == draft.ids
    assert [shape[0] for shape in copies] == [6]


def test_siblings_after_the_end_of_a_draft_are_cut() -> None:
    model = random_model("llama", VOCABULARY)
    lm, score = reader(model, GraphRunner(model)), Alternatives(DraftShape(0.1))
    lm.append([7, 8, 9])
    whole = lm.draft(8, MostLikely(), score=score)
    lm.roll_back(3)
    end = next(id for at, id in enumerate(whole.ids) if at > 3)
    tree = lm.draft(8, MostLikely(), {end}, score=score).tree
    assert tree is not None
    assert max(tree.parents) == whole.ids.index(end) - 1
    assert tree.ids[: whole.ids.index(end) + 1] == whole.ids[: whole.ids.index(end) + 1]


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


def test_a_model_that_takes_no_such_mask_runs_eagerly() -> None:
    """Falcon with alibi derives positions from a mask of two axes."""
    with pytest.warns(UagWarning, match=r"it fails in a block with padding \(ValueError\)"):
        runner = GraphRunner(random_model("falcon", VOCABULARY, alibi=True))
    lm = CachedLM(runner.model, cache=runner.new_cache())
    lm.append([5, 6, 7])
    check(lm, runner.model, 1)


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
    match = "FalconForCausalLM runs eagerly, without graphs: a pass ca"
    check_giving_up(reader(model, runner), model, match)
    assert str(runner).startswith("eager: a pass cannot be captured: CaptureError")


class Frozen(RecordedGraphs):
    """Replays nothing: results stay those of the place where they were captured."""

    def capture(self, run: Callable[[], None], restore: Callable[[], None]) -> Callable[[], None]:
        super().capture(run, restore)
        return lambda: None


def test_a_capture_that_is_wrong_elsewhere_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", Frozen)
    model = random_model("llama", VOCABULARY)
    runner = GraphRunner(model)
    match = "a captured pass gives other logits at another place"
    check_giving_up(reader(model, runner), model, match)
    assert "another place" in str(runner)


def test_nor_is_it_where_rounding_may_change_which_experts_read_an_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CAPTURERS, "cpu", Frozen)
    model = random_model("mixtral", VOCABULARY).to(torch.bfloat16)
    lm = reader(model, GraphRunner(model))
    lm.append([5] * 40)
    lm.logits(1)
    lm.append([6, 7])
    with pytest.warns(UagWarning, match="gives other logits at another place"):
        lm.logits(2)


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


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 3, "top_p": 0.95}])
def test_trees_by_graphs_leave_the_text(options: dict[str, Any]) -> None:
    demo = demo_decoder()
    parts = demo.model, demo.tokenizer, demo.assistant, demo.assistant_tokenizer
    alone = SpeculativeDecoder(demo.model, demo.tokenizer, engine="eager")
    asked: dict[str, Any] = {"lookahead": 4, "lookup": False, "tree": 31}
    decoder, host = (
        SpeculativeDecoder(*parts, engine=engine, **asked) for engine in ("graphs", "eager")
    )
    out = decoder.generate("Once upon a time", max_new_tokens=40, **options)
    same = host.generate("Once upon a time", max_new_tokens=40, **options)
    true = alone.generate("Once upon a time", max_new_tokens=40, **options)
    assert out.token_ids == same.token_ids == true.token_ids
    assert out.stats.engines == {"target": "graphs", "assistant": "graphs"}
    assert any(done.tree is not None and done.accepted > 1 for done in out.stats.history)
    rounds, others = (
        [(done.candidates, done.accepted) for done in each.stats.history] for each in (out, same)
    )
    assert rounds == others


@pytest.mark.parametrize("engine", ["graphs", "compile"])
def test_a_text_goes_on_in_the_buffers_of_an_earlier_one(engine: str) -> None:
    words, model = tokenizer("qwen2"), random_model("llama", tokenizer("qwen2"))
    options: dict[str, Any] = {"compile": "eager"} if engine == "compile" else {"engine": engine}
    decoder = SpeculativeDecoder(model, words, "lookup", prefix_cache=10**9, **options)
    ids: list[int] = words(PROMPT * 4)["input_ids"]
    for turn in range(3):
        out = decoder.generate(ids, max_new_tokens=12)
        assert out.stats.engines["target"] == {"compile": "compiled"}.get(engine, engine)
        assert out.token_ids == plain_ids(model, ids, max_new_tokens=12)
        assert (out.stats.cached_tokens > len(ids) - 20) == (turn > 0)
        ids = [*ids, *out.token_ids, 7, 8]
    decoder.prefix_cache = 0
    assert decoder._engine.kept.bytes == 0


def test_captures_are_no_part_of_the_seconds_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `auto` would believe for a while that a draft step takes as long as a capture."""
    machine = [0.0]

    class Slow(RecordedGraphs):
        def capture(
            self, run: Callable[[], None], restore: Callable[[], None]
        ) -> Callable[[], None]:
            machine[0] += 100
            return super().capture(run, restore)

    def seconds() -> dict[str, float]:
        set_clock(lambda: machine[0])
        return pair("graphs").generate(PROMPT, max_new_tokens=20).stats.seconds

    monkeypatch.setitem(CAPTURERS, "cpu", Slow)
    spent = copy_context().run(seconds)
    assert machine[0] >= 300 and sum(spent.values()) == 0


def ticking(machine: list[float]) -> type[RecordedGraphs]:
    """Each replay takes one second of a machine's time."""

    class Ticking(RecordedGraphs):
        def capture(
            self, run: Callable[[], None], restore: Callable[[], None]
        ) -> Callable[[], None]:
            replay = super().capture(run, restore)

            def tick() -> None:
                machine[0] += 1
                replay()

            return tick

    return Ticking


def test_what_a_draft_first_has_to_catch_up_on_is_no_part_of_its_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else `auto` would believe for long that a step takes as long as a pass of the target."""
    machine = [0.0]

    def seconds() -> list[float]:
        set_clock(lambda: machine[0])
        model = random_model("llama", VOCABULARY)
        lm = reader(model, GraphRunner(model))
        lm.append([7] * 10)
        for unread in ([8], [8] * 80):
            lm.draft(6, MostLikely())  # captures
            lm.append(unread)
        lm.logits(1)
        lm.append([9] * 81)  # as many as were read before
        return lm.draft(6, MostLikely()).seconds

    monkeypatch.setitem(CAPTURERS, "cpu", ticking(machine))
    first, *steps = copy_context().run(seconds)
    assert first >= 2
    assert steps == pytest.approx([1] * 5)


def test_steps_take_what_the_device_takes_however_long_the_host_does_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else `auto` would draft one id for long, as nobody would know what another one costs."""
    machine = [0.0]

    def seconds() -> list[list[float]]:
        set_clock(lambda: machine[0])
        model = random_model("llama", VOCABULARY)
        lm = reader(model, GraphRunner(model))
        lm.append([7] * 10)
        lm.draft(6, MostLikely())  # captures
        found: list[list[float]] = []
        for unread, steps in ([8], 5), ([8], 2), ([8, 9, 8], 5):
            lm.append(unread)
            lm.begin(steps, MostLikely())
            machine[0] += 100
            found.append(lm.draft(steps, MostLikely()).seconds)
            assert lm._begun is None
        return found

    monkeypatch.setitem(CAPTURERS, "cpu", ticking(machine))
    assert copy_context().run(seconds) == [[1] * 5, [1] * 2, [1] * 5]


def test_where_graphs_can_be_captured_they_are_the_default() -> None:
    assert str(pair("auto")._engine.runners["target"]) == "graphs"
    del CAPTURERS["cpu"]
    assert str(pair("auto")._engine.runners["target"]) == "eager"
    asked = pair("graphs").generate(PROMPT, max_new_tokens=4).stats.engines
    assert asked["target"] == "eager: graphs are captured on CUDA devices, and it is on cpu"


def test_a_comparison_has_the_target_alone_by_graphs(recorded: list[RecordedGraphs]) -> None:
    decoder = pair("graphs")
    comparison = compare(decoder, "Once", runs=1, max_new_tokens=8, with_transformers=False)
    assert [method.name for method in comparison.methods] == ["plain", "plain by graphs", "uag"]
    assert comparison.identical
    assert decoder.engines == {"target": "graphs", "assistant": "graphs"}
    assert all(each.replays for each in recorded)


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


@pytest.mark.parametrize("architecture", WITH_GRAPHS)
def test_a_tree_is_read_as_each_of_its_paths_is(
    architecture: str, recorded: list[RecordedGraphs]
) -> None:
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_trees(model, reader(model, runner), Random(3), rounds=16)
    assert str(runner) == "graphs"
    assert recorded[0].replays > 10


def test_trees_of_a_width_share_a_graph(recorded: list[RecordedGraphs]) -> None:
    model = random_model("gemma3", VOCABULARY)
    lm = reader(model, GraphRunner(model))
    lm.append([7] * 30)
    lm.logits(1)
    captured = 0
    for parents in ([-1, -1, 0], [-1, 0, 0], [-1, 0, -1]):
        lm.append([5, 6, 7, 8])
        logits = lm.tree_logits(parents)
        true = true_logits(model, lm.ids, parents)
        torch.testing.assert_close(logits, true, atol=2e-4, rtol=1e-4)
        lm.keep_path([0])
        captured = captured or recorded[0].captured
    assert lm.cache.width == 4
    assert recorded[0].captured == captured


def test_a_tree_wider_than_all_graphs_is_read(recorded: list[RecordedGraphs]) -> None:
    model = random_model("mistral-window", VOCABULARY)
    lm = reader(model, GraphRunner(model))
    lm.append([7] * 30)
    lm.logits(1)
    replays, parents = recorded[0].replays, [-1] * 30 + [3] * 45
    lm.append([*range(len(parents))])
    logits = lm.tree_logits(parents)
    true = true_logits(model, lm.ids, parents)
    torch.testing.assert_close(logits, true, atol=2e-4, rtol=1e-4)
    assert recorded[0].replays == replays
