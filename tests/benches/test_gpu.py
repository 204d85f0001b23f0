"""The run for a GPU, rehearsed: every part at its tiniest on a CPU, and parts that go wrong."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from benches.gpu.__main__ import GRACE, PARTS, STAGES, Part, limited
from benches.gpu.models import FULL, TINY, Setting, fitted
from benches.gpu.record import LINES, RESULTS, Record, lines_of, write_results

ROOT = Path(__file__).parents[2]
# Left to the slow test: pytest in pytest, which only collects, and torch.compile.
LONG = ["tests", "compiled"]
SHORT = [part.name for part in PARTS if part.name not in LONG]


@pytest.mark.parametrize("parts", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_every_part_runs_on_a_cpu(parts: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benches.gpu", "--out", str(tmp_path)]
    command += ["--device", "cpu", "--scale", "tiny", "--parts", ",".join(parts)]
    command += ["--seconds", "4000", "--patience", "20"]  # other jobs may load the machine
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, list[dict[str, Any]]] = json.loads((tmp_path / RESULTS).read_text())
    assert set(results) == {"run", "summary", *parts}
    for part in parts:
        assert results[part][-1]["name"] == "done", results[part]
    errors = [line for lines in results.values() for line in lines if "error" in line]
    assert not errors
    if parts == LONG:
        return
    by_name = {line["name"]: line for line in results["texts"]}
    assert by_name["8B <- 70M: generate"]["tokens_per_second"] > 0
    (eager,) = [line for line in results["ids"] if "float32: eager, greedy" in line["name"]]
    assert eager["same"] == eager["texts"]
    ours = [line for line in results["summary"] if ": uag graphs" in line["name"]]
    assert ours and all(line["of_bound"] > 0 for line in ours)
    met = {line["name"][0]: line["met"] for line in results["summary"] if "met" in line}
    assert set(met) == set("12345")


def slow(record: Record, _: Setting) -> None:
    record("first", number=1.23456)
    time.sleep(600)


def failing(record: Record, _: Setting) -> None:
    record.attempt("one", lambda: {}[0])
    record("second", number=2)
    raise RuntimeError("no more")


@pytest.mark.parametrize(
    ("measure", "names"),
    [(slow, ["first", "cut off"]), (failing, ["one", "second", "failed"])],
)
def test_a_part_that_is_cut_off_or_fails_leaves_what_it_has(
    measure: Any, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = measure.__name__
    monkeypatch.setitem(sys.modules, f"benches.gpu.{kind}", SimpleNamespace(measure=measure))
    setting = Setting(torch.device("cpu"), TINY, None, tmp_path)
    limited([Part(kind, kind, 1)], 1, setting)
    lines = lines_of(tmp_path)
    assert [line["name"] for line in lines] == names
    if kind == "failing":
        assert "KeyError" in lines[0]["error"] and "no more" in lines[2]["error"]
    with (tmp_path / LINES).open("a") as file:
        file.write('{"part": "half')
    write_results(tmp_path)
    results = json.loads((tmp_path / RESULTS).read_text())
    assert [line["name"] for line in results[kind]] == names


def test_sizes_are_about_what_their_names_say() -> None:
    small = LlamaConfig(
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=16,
        num_hidden_layers=2,
        intermediate_size=256,
    )
    for name, shape in (FULL.targets | FULL.assistants).items():
        size = fitted(shape, small)
        assert size["heads"] % size["kv_heads"] == 0
        query, key = 16 * size["heads"], 16 * size["kv_heads"]
        layer = size["hidden"] * (2 * query + 2 * key + 3 * size["intermediate"])
        billions = {"B": 1, "M": 1e-3}[name[-1]] * float(name[:-1])
        assert 0.9 < layer * size["layers"] / 1e9 / billions < 1.1


def test_parts_of_a_stage_run_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meeting(record: Record, _: Setting) -> None:
        own, other = ("one", "two") if record.part == "one" else ("two", "one")
        (tmp_path / own).touch()
        while not (tmp_path / other).exists():
            time.sleep(0.01)

    for name in ("one", "two"):
        monkeypatch.setitem(sys.modules, f"benches.gpu.{name}", SimpleNamespace(measure=meeting))
    setting = Setting(torch.device("cpu"), TINY, None, tmp_path)
    limited([Part("one", "one", 60), Part("two", "two", 60)], 60, setting)
    assert [line["name"] for line in lines_of(tmp_path)] == ["done", "done"]


def test_what_takes_seconds_to_import_counts_as_part_of_the_run() -> None:
    code = "import sys, benches.gpu.__main__; assert 'torch' not in sys.modules"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)


def test_the_last_part_has_time_left() -> None:
    usual = sum(max(part.seconds for part in stage) for stage in STAGES[:-1])
    assert usual + GRACE <= 480 - 60
