"""vLLM's custom proposer, called as vLLM 0.32 does: lists, counts and one array of all texts."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import uag.vllm
from tests.support.engine_runner import (
    LENGTH,
    TEXTS,
    Moment,
    Runner,
    demo,
    expected,
    moments,
    prompt,
    requests,
)
from uag import OptionError

LONGEST = 256


def config(folders: dict[str, str], **options: Any) -> Any:
    return SimpleNamespace(
        model_config=SimpleNamespace(
            tokenizer=folders["target"],
            tokenizer_revision=None,
            trust_remote_code=False,
            max_model_len=LONGEST,
            get_vocab_size=lambda: demo("target")[0].config.vocab_size,
        ),
        speculative_config=SimpleNamespace(num_speculative_tokens=5),
        additional_config={"uag": {"assistant": folders["assistant"]} | options},
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pair")
    for role in ("target", "assistant"):
        for each in demo(role):
            each.save_pretrained(folder / role)
    return {role: str(folder / role) for role in ("target", "assistant")}


def loaded(config: Any) -> uag.vllm.Proposer:
    proposer = uag.vllm.Proposer(config)
    proposer.load_model(torch.nn.Linear(1, 1))  # vLLM's model is none of transformers
    return proposer


class Calls:
    """Gives texts to a proposer as vLLM does: in one buffer, and each after what it emitted."""

    def __init__(self, proposer: uag.vllm.Proposer) -> None:
        self._proposer = proposer
        self._buffer = np.zeros((8, LONGEST), dtype=np.int32)

    def __call__(self, rows: list[list[int]], limits: list[int]) -> list[list[int]]:
        for index, row in enumerate(rows):
            self._buffer[index, : len(row)] = row
        lengths = np.array([*map(len, rows), *[0] * (8 - len(rows))])
        sampled = [row[-1:] if limit else [] for row, limit in zip(rows, limits, strict=True)]
        found = self._proposer.propose(sampled, lengths, self._buffer, slot_mappings=None)
        assert all(isinstance(id, int) for ids in found for id in ids)
        assert all(
            len(ids) <= (5 if limit else 0) for ids, limit in zip(found, limits, strict=True)
        )
        return [ids[:limit] for ids, limit in zip(found, limits, strict=True)]


@given(prompts=requests, moments=moments)
@settings(max_examples=10)
def test_the_text_is_that_of_generate(
    folders: dict[str, str], prompts: Any, moments: list[Moment]
) -> None:
    runner = Runner(prompts)
    runner.run(Calls(loaded(config(folders))), moments)
    for each in runner.requests:
        assert each.output == expected(each.prompt)


def test_what_is_proposed_is_right_often(folders: dict[str, str]) -> None:
    proposer = loaded(config(folders, lookahead=5))
    runner = Runner([prompt(0, 0), prompt(3, 0)])
    runner.run(Calls(proposer))
    assert runner.tokens == 2 * LENGTH
    assert runner.tokens > 1.5 * runner.passes
    assert proposer.proposer is not None
    assert proposer.proposer.accepted > 0


def test_no_text_outgrows_the_model(folders: dict[str, str]) -> None:
    """The candidates and one more id fit."""
    proposer = loaded(config(folders, lookahead=5))
    ids = ([*prompt(len(TEXTS) - 1, 0)] * 9)[:LONGEST]
    buffer = np.array([ids])
    for left in (0, 1, 2, 3):
        (found,) = proposer.propose([[ids[-1]]], np.array([LONGEST - left]), buffer)
        assert len(found) <= max(0, left - 1)


def test_lookups_need_no_assistant(folders: dict[str, str]) -> None:
    proposer = loaded(config(folders, assistant="lookup"))
    ids = [*prompt(len(TEXTS) - 1, 1)]
    (found,) = proposer.propose([[ids[-1]]], np.array([len(ids)]), np.array([ids]))
    assert found


def test_only_the_worker_that_is_read_loads_an_assistant(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state: Any = ModuleType("parallel_state")
    state.get_tensor_model_parallel_rank = lambda: 1
    monkeypatch.setitem(sys.modules, "vllm.distributed.parallel_state", state)
    proposer = loaded(config(folders))
    assert proposer.proposer is None
    assert proposer.propose([[5], []], np.array([1, 1]), np.array([[5], [6]])) == [[], []]
    state.get_tensor_model_parallel_rank = lambda: 0
    assert loaded(config(folders)).proposer is not None


def test_options_that_there_are_not(folders: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="'lookahed' in --additional-config is unknown"):
        uag.vllm.Proposer(config(folders, lookahed=5))
    nothing: list[Any] = [{}, {"uag": {}}, {"uag": "name"}, None]
    for additional in nothing:
        wrong = config(folders)
        wrong.additional_config = additional
        with pytest.raises(OptionError, match="there is no assistant"):
            uag.vllm.Proposer(wrong)
