"""The real harness on a tiny local task: the same answers and scores as without an assistant."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer

harness = pytest.importorskip("lm_eval", reason='pip install ".[eval]"')

pytestmark = pytest.mark.filterwarnings("ignore")  # of its own

QUESTIONS = ["Once upon", "One day, the dog", "She", "A little girl said", "Where are you?"]

TASK = """
task: tiny
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
"""

GENERATED = """
generation_kwargs:
  until: ["e", "\\n\\n"]
  max_gen_toks: 12
metric_list:
  - metric: exact_match
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Any:
    data = tmp_path / "tiny.jsonl"
    rows = [{"question": question, "answer": " the"} for question in QUESTIONS]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny.yaml").write_text(TASK.format(data=data, kind="generate_until") + GENERATED)
    likelihood = TASK.format(data=data, kind="loglikelihood").replace("tiny\n", "likely\n", 1)
    (tmp_path / "likely.yaml").write_text(likelihood + "metric_list:\n  - metric: perplexity\n")
    return tmp_path


def answers(model: Any, tasks: Path) -> tuple[Any, Any]:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    found = harness.simple_evaluate(model, tasks=["tiny", "likely"], task_manager=manager)
    said = [sample["resps"] for task in ("tiny", "likely") for sample in found["samples"][task]]
    return said, found["results"]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_answers_and_scores_are_the_same(tasks: Path, batch_size: int) -> None:
    from lm_eval.models.huggingface import HFLM

    from uag import SpeculativeDecoder
    from uag.integrations.lm_eval import AssistedLM

    target, own = tokenizer("gpt2"), tokenizer("llama2")
    model = random_model("llama", target)
    decoder = SpeculativeDecoder(model, target, random_model("llama", own), own, lookahead=4)
    drafted: list[object] = []
    decoder.assistant.register_forward_pre_hook(lambda *_: drafted.append(None))
    plain = HFLM(pretrained=model, tokenizer=target, batch_size=batch_size)
    for ours in (
        AssistedLM(decoder, batch_size=batch_size),
        AssistedLM(
            model, decoder.assistant, own, tokenizer=target, lookahead="4", batch_size=batch_size
        ),
    ):
        drafted.clear()
        said, scores = answers(ours, tasks)
        assert drafted
        expected, others = answers(plain, tasks)
        assert said == expected
        for task, values in others.items():
            for name, value in values.items():
                assert scores[task][name] == pytest.approx(value) or "stderr" in name


def test_the_command(tasks: Path) -> None:
    names = {"target": "gpt2", "assistant": "llama2"}
    for folder, name in names.items():
        random_model("llama", tokenizer(name)).save_pretrained(tasks / folder)
        tokenizer(name).save_pretrained(tasks / folder)
    folders = f"pretrained={tasks / 'target'},assistant={tasks / 'assistant'},lookahead=4"
    command = [
        sys.executable, "-m", "uag.lm_eval", "--model", "uag", "--model_args", folders,
        "--tasks", "tiny", "--include_path", str(tasks), "--device", "cpu",
        "--output_path", str(tasks / "out"),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (tasks / "out").rglob("results*.json")
    assert "exact_match,none" in json.loads(results.read_text())["results"]["tiny"]


def test_an_assistant_by_name_and_lookup_are_loaded_as_elsewhere(tmp_path: Path) -> None:
    for name in ("gpt2", "llama2"):
        random_model("llama", tokenizer(name)).save_pretrained(tmp_path / name)
        tokenizer(name).save_pretrained(tmp_path / name)
    from uag.integrations.lm_eval import AssistedLM

    target = str(tmp_path / "gpt2")
    by_lookup = AssistedLM(target, "lookup", device="cpu").decoder
    assert by_lookup.lookup is not None and by_lookup.assistant is None
    named = AssistedLM(target, str(tmp_path / "llama2"), lookup=True, device="cpu").decoder
    assert named.lookup is not None and named.assistant is not None
    assert named.assistant.dtype == named.model.dtype
