"""Captured passes use kernels for the parts that these are right for, and give the same."""

from collections.abc import Iterator
from random import Random
from threading import Thread
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.campaigns.graphs import verdict
from tests.support.engines import check, check_begun, check_drafts, check_reading, reader
from tests.support.kernels import HostLauncher, kernel_names
from tests.support.models import random_model
from tests.support.recorded import RecordedGraphs
from tests.support.tokenizers import tokenizer
from tests.support.trees import check_trees
from uag import UagWarning
from uag.models.check.records import is_of_transformers
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.fused import fusion, kernels
from uag.models.engines.fused.fusion import LAUNCHERS, Fusion, fused, fusion_of
from uag.models.engines.fused.kernels import Kernels
from uag.models.engines.graphs import GraphRunner
from uag.models.engines.static_text import StaticText
from uag.models.properties import embedding_rows
from uag.sampling.coupled import DraftSampling, DraftShape, TokenNames
from uag.sampling.greedy import MostLikely
from uag.sampling.noise import digest
from uag.translation.core_tokenizer import core_tokenizer

VOCABULARY = tokenizer("qwen2")
KINDS = "Norm", "MLP", "Linear", "module", "Rotary"
PARTS = {
    "llama": (5, 2, 15, 1, 1),
    "mistral-window": (5, 2, 15, 1, 1),
    "qwen3": (9, 2, 15, 1, 1),
    "gemma3": (13, 2, 15, 1, 0),
    "phi3": (5, 0, 9, 1, 1),
    "gpt2": (0, 0, 1, 0, 0),
    "gpt-neox": (0, 0, 9, 1, 1),
}


@pytest.fixture(autouse=True)
def on_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run on the CPU, and tell the stand-in for graphs."""
    monkeypatch.setitem(CAPTURERS, "cpu", RecordedGraphs)
    monkeypatch.setitem(LAUNCHERS, "cpu", HostLauncher)
    yield
    RecordedGraphs.made.clear()


launched = pytest.fixture(kernel_names)


def parts_of(found: Fusion | None) -> tuple[int, ...]:
    assert found is not None
    names = [type(owner).__name__ for owner, _, _ in found.parts]
    return tuple(sum(kind in name for name in names) for kind in KINDS)


@pytest.mark.parametrize("architecture", PARTS)
def test_parts_are_found(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    assert parts_of(fusion_of(model)) == PARTS[architecture]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "gpt-neox"])
def test_captured_passes_give_what_reading_at_once_gives(architecture: str) -> None:
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_reading(model, runner)
    check_drafts(model, runner, MostLikely(), lambda logits: logits.argmax(-1))
    tokens = TokenNames.of(core_tokenizer(VOCABULARY), embedding_rows(model), model.device)
    check_begun(model, runner, tokens)
    assert str(runner) == "graphs"


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("codegen", torch.float32),  # rotates one tensor a call
        ("gpt_oss", torch.float32),  # has the angles of half a head
        ("gemma3n_text", torch.float32),  # takes the axis where others take the sines
        ("gemma4_text", torch.float32),  # has heads of two sizes
        ("deepseek_v2", torch.float32),  # has angles that are complex
        ("beam", torch.bfloat16),  # gives logits in float32
        ("phimoe", torch.bfloat16),  # has experts, which rounding may exchange
    ],
    ids=str,
)
def test_what_other_models_do_otherwise_is_their_own(kind: str, dtype: torch.dtype) -> None:
    """A sample of `python -m tests.campaigns.graphs --kernels`."""
    assert verdict(kind, dtype) == "graphs"


def test_passes_attend_to_few_lengths_where_kernels_attend() -> None:
    attended = GraphRunner(random_model("llama", VOCABULARY))
    lengths = [attended.seen(end, 4096) for end in (10, 300, 1024, 1025, 5000)]
    assert lengths == [1024, 1024, 1024, 2048, 4096]
    assert attended.seen(10, 512) == 512
    # No kernel attends to heads that are not of whole packs.
    masked = GraphRunner(random_model("llama", VOCABULARY, head_dim=12).to(torch.bfloat16))
    assert [masked.seen(end, 4096) for end in (10, 300)] == [256, 512]


def capture(model: PreTrainedModel, width: int, launched: list[str]) -> None:
    """Capture a pass over so many ids; `launched` then has the kernels of this pass only."""
    lm = reader(model, GraphRunner(model))
    lm.append([5] * 40)
    lm.logits(1)
    launched.clear()
    lm.append([7] * width)
    lm.logits(width)


ATTENTION = ["attend_4", "join"]
WIDE_ATTENTION = ["attend_16", "join"]


@pytest.mark.parametrize(
    ("width", "dtype", "once"),
    [
        (2, torch.float32,
         ["angles", "rms_norm", "project_2", *ATTENTION, "project_2",
          "rms_norm", "project_gated_2", "project_2", "rms_norm", "project_2"]),
        (6, torch.float32,
         ["angles", "rms_norm", *WIDE_ATTENTION, "rms_norm", "gated", "rms_norm"]),
        (1, torch.bfloat16,
         ["angles", "project_normed", *ATTENTION, "project_1",
          "project_gated_normed", "project_1", "project_normed"]),
        (6, torch.bfloat16,
         ["angles", "rms_norm", "project_up_to_8", *WIDE_ATTENTION, "project_up_to_8",
          "rms_norm", "project_gated_up_to_8", "project_up_to_8", "rms_norm", "project_up_to_8"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_layer_is_a_few_kernels(
    launched: list[str], width: int, dtype: torch.dtype, once: list[str]
) -> None:
    model = random_model("llama", VOCABULARY, num_hidden_layers=1, head_dim=16).to(dtype)
    capture(model, width, launched)
    assert launched == once * 2  # warming up, and captured


def test_heads_whose_halves_are_not_of_whole_packs_are_rotated_apart(launched: list[str]) -> None:
    model = random_model("llama", VOCABULARY, num_hidden_layers=1, head_dim=8).to(torch.bfloat16)
    capture(model, 1, launched)
    assert launched[2:5] == ["rotate", *ATTENTION]


def test_a_product_of_many_rows_does_not_normalize_what_it_reads(
    launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its warps would do so for itself."""
    model = random_model("llama", VOCABULARY, num_hidden_layers=1, head_dim=16).to(torch.bfloat16)
    rows = 64 + 32 + 32  # of queries, keys and values; the head has one for each id
    monkeypatch.setattr(kernels, "MOST_NORMED", rows * model.config.hidden_size)
    capture(model, 1, launched)
    once = ["angles", "project_normed", *ATTENTION, "project_1", "project_gated_normed"]
    assert launched == [*once, "project_1", "rms_norm", "project_1"] * 2


@pytest.mark.parametrize("chooser", ["most likely", "drawn"])
def test_a_step_of_a_draft_ends_by_one_kernel(launched: list[str], chooser: str) -> None:
    model = random_model("llama", VOCABULARY)
    lm = reader(model, GraphRunner(model))
    lm.append([5] * 40)
    lm.logits(1)
    tokens = TokenNames.of(core_tokenizer(VOCABULARY), embedding_rows(model), model.device)
    drawn = DraftSampling(tokens, digest(1), DraftShape, lambda: 0)
    launched.clear()
    lm.draft(3, MostLikely() if chooser == "most likely" else drawn())
    last = "most_likely" if chooser == "most likely" else "draw"
    assert launched[-1] == last
    assert launched.count(last) == launched.count("angles")
    assert "masks" not in launched


def test_a_model_and_its_files_are_left_as_they_were() -> None:
    model = random_model("llama", VOCABULARY)
    found = fusion_of(model)
    file: Any = __import__("transformers.models.llama.modeling_llama", fromlist=["x"])
    own = file.apply_rotary_pos_emb
    text = StaticText([None] * 2, 64, 8, torch.device("cpu"))
    with fused(model, found, text):
        assert file.apply_rotary_pos_emb is not own
        assert not is_of_transformers(model.model.norm)
    with pytest.raises(KeyError), fused(model, found, text):
        raise KeyError
    assert file.apply_rotary_pos_emb is own
    assert all(is_of_transformers(module) for module in model.modules())
    assert not [module for module in model.modules() if "forward" in vars(module)]


def test_other_threads_run_the_models_own_code(launched: list[str]) -> None:
    model = random_model("llama", VOCABULARY)
    text = StaticText([None] * 2, 64, 8, torch.device("cpu"))
    ids = torch.tensor([[5, 6, 7]])
    given: list[Any] = []

    @torch.no_grad()
    def read() -> None:
        given.append(model(ids).logits)

    read()
    with fused(model, fusion_of(model), text):
        launched.clear()
        thread = Thread(target=read)
        thread.start()
        thread.join()
        assert not launched
        read()
        assert launched
    assert torch.equal(given[0], given[1])
    torch.testing.assert_close(given[2], given[0], atol=1e-5, rtol=1e-5)


def test_where_kernels_are_wrong_passes_are_captured_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model("llama", VOCABULARY)
    runner = GraphRunner(model)
    own = Kernels.attend
    monkeypatch.setattr(Kernels, "attend", lambda *args: 1.5 * own(*args))
    lm = reader(model, runner)
    lm.append([5] * 40)
    check(lm, model, 1)
    lm.append([6, 7])
    with pytest.warns(UagWarning, match="captured without uag's kernels: with them a captured"):
        check(lm, model, 2)
    lm.append([8])
    check(lm, model, 1)
    assert str(runner) == "graphs"


def test_a_part_of_another_kind_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama", VOCABULARY)
    own = Kernels.rms_norm
    monkeypatch.setattr(
        Kernels, "rms_norm", lambda self, x, *args, **options: own(self, 2 * x, *args, **options)
    )
    assert parts_of(fusion_of(model)) == (0, 2, 15, 1, 1)


@pytest.mark.parametrize("error", [ImportError("no module"), fusion.LaunchError("CUDA answered")])
def test_without_a_compiler_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def launcher(*args: Any) -> HostLauncher:
        raise error

    monkeypatch.setitem(LAUNCHERS, "cpu", launcher)
    model = random_model("llama", VOCABULARY)
    with pytest.warns(UagWarning, match="cannot be compiled: (no|CUDA)"):
        assert fusion_of(model) is None


def test_the_generator_is_not_asked() -> None:
    model = random_model("llama", VOCABULARY)
    before = torch.random.get_rng_state()
    fusion_of(model)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_a_tree_is_attended_to_by_its_mask(architecture: str, launched: list[str]) -> None:
    model = random_model(architecture, VOCABULARY)
    runner = GraphRunner(model)
    check_trees(model, reader(model, runner), Random(3), rounds=10)
    assert str(runner) == "graphs"
    assert "rotate" in launched
