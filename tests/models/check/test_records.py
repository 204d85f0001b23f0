"""A model that is made as an earlier one is not tried again, in this process or a later one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.models import random_model, recurrent_gemma
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder, UagWarning
from uag.batching.batch_cache import rows_fault
from uag.models.caches.protocol import TOGETHER
from uag.models.check import records
from uag.models.check.records import Record, record_of
from uag.models.check.trees import trees_fault
from uag.models.check.way import new_cache, way_of
from uag.models.reading import reading_of

VOCABULARY = tokenizer("qwen2")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of records, and a process that has seen no model."""
    monkeypatch.setattr(records, "_folder", lambda: tmp_path)
    monkeypatch.setattr(records, "_records", {})
    return tmp_path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> "Later":
    return Later(monkeypatch)


class Later:
    """Forgets what this process knows, as a later one would; then no model can be tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self) -> None:
        self._monkeypatch.setattr(records, "_records", {})
        self._monkeypatch.setattr("uag.models.check.way.Trial", _not_to_be_called)
        self._monkeypatch.setattr("uag.batching.batch_cache._fault_in_rows", _not_to_be_called)
        self._monkeypatch.setattr("uag.models.check.trees._fault_in_tree", _not_to_be_called)


class TriedAgainError(Exception):
    pass


def _not_to_be_called(model: object) -> None:
    raise TriedAgainError


def llama(seed: int = 0, **settings: int) -> torch.nn.Module:
    return random_model("llama", VOCABULARY, seed, max_position_embeddings=199, **settings)


def test_in_a_later_process(later: Later) -> None:
    first = llama()
    assert way_of(first) == TOGETHER
    assert rows_fault(first) == ""
    assert trees_fault(first, new_cache(first)) == ""
    later()
    second = llama(seed=1)
    assert way_of(second) == TOGETHER
    assert rows_fault(second) == ""
    assert trees_fault(second, new_cache(second)) == ""


def test_what_fails_is_kept_with_its_reason(later: Later) -> None:
    way = way_of(random_model("mamba", VOCABULARY))
    assert way.reason
    later()
    assert way_of(random_model("mamba", VOCABULARY, 1)) == way
    with pytest.warns(UagWarning, match="drafts are switched off"):
        SpeculativeDecoder(random_model("mamba", VOCABULARY), VOCABULARY, "lookup")


def test_where_a_state_is_kept_is_known_as_well(later: Later) -> None:
    first = recurrent_gemma(VOCABULARY)
    way_of(first)
    later()
    second = recurrent_gemma(VOCABULARY, 2)
    way_of(second)
    places, same = reading_of(first).places, reading_of(second).places
    assert [place for _, place in places] == [place for _, place in same]
    assert places
    assert {module for module, _ in same} <= set(second.modules())


@pytest.mark.parametrize("change", ["config", "dtype", "source", "package"])
def test_another_kind_is_tried(
    change: str, later: Later, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way_of(llama())
    later()
    model = llama(rope_theta=5000) if change == "config" else llama()
    match change:
        case "dtype":
            model.double()
        case "source":
            monkeypatch.setattr(records, "_stamp", lambda source: f"{source} edited")
        case "package":
            monkeypatch.setattr(records, "_surroundings", lambda: ["mamba_ssm-9.dist-info"])
        case _:
            pass
    with pytest.raises(TriedAgainError):
        way_of(model)


def test_a_new_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = records._surroundings.__wrapped__()
    (tmp_path / "causal_conv1d-1.6.dist-info").mkdir()
    assert records._surroundings.__wrapped__() != before


def test_a_model_with_a_hook_is_tried_for_itself(later: Later) -> None:
    way_of(llama())
    later()
    hooked = llama()
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(TriedAgainError):
        way_of(hooked)


def test_a_failure_in_half_precision_is_not_lasting(later: Later) -> None:
    model = random_model("mamba", VOCABULARY).to(torch.bfloat16)
    assert not way_of(model).together
    assert not way_of(random_model("mamba", VOCABULARY).to(torch.bfloat16)).together
    later()
    with pytest.raises(TriedAgainError):
        way_of(random_model("mamba", VOCABULARY).to(torch.bfloat16))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"found"', b'{"lost": 1}', b"\xff"])
def test_a_damaged_file_is_no_record(content: bytes, folder: Path, later: Later) -> None:
    way_of(llama())
    later()
    [file] = folder.iterdir()
    file.write_bytes(content)
    with pytest.raises(TriedAgainError):
        way_of(llama())


def test_without_a_folder_that_can_be_written(folder: Path) -> None:
    folder.rmdir()
    assert way_of(llama()) == TOGETHER
    assert way_of(llama()) == TOGETHER


def test_a_record_of_one_model_alone_is_in_no_file(folder: Path) -> None:
    Record(None).keep("way", 1)
    assert not list(folder.iterdir())


def test_models_of_one_kind_share_a_record() -> None:
    assert record_of(llama()) is record_of(llama(seed=1))
