"""`uag generate`."""

import json
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

import uag
from tests.support.command_line import run
from tests.support.models import STORY
from tests.support.tokenizers import PROMPT
from uag import SpeculativeDecoder


@pytest.fixture
def demo() -> list[str]:
    folder = Path(uag.__file__).parent / "demo_pair"
    return ["--target", str(folder / "target"), "--assistant", str(folder / "assistant")]


def test_generate_streams_the_text(capsys: pytest.CaptureFixture[str], pair: list[str]) -> None:
    status, out, _ = run(capsys, "generate", *pair, "-n", "12", PROMPT)
    expected = SpeculativeDecoder.from_pretrained(pair[1], None).generate(PROMPT, max_new_tokens=12)
    assert (status, out) == (0, expected.text + "\n")


def test_generate_prints_one_json_object(
    capsys: pytest.CaptureFixture[str], pair: list[str]
) -> None:
    status, out, _ = run(capsys, "generate", *pair, "-n", "12", "-k", "heuristic", "--json", PROMPT)
    described = json.loads(out)
    assert status == 0
    assert len(described["token_ids"]) == 12 == described["stats"]["tokens"]
    assert described["stats"]["engines"] == {"target": "eager", "assistant": "eager"}
    assert (described["finish_reason"], described["dtype"]) == ("length", "float32")
    assert described["versions"]["torch"] == torch.__version__
    assert datetime.fromisoformat(described["date"]).tzinfo is not None
    assert out.count("\n") == 1


def test_statistics_are_a_line_of_standard_error(
    capsys: pytest.CaptureFixture[str], pair: list[str]
) -> None:
    plain = run(capsys, "generate", *pair, "-n", "12", PROMPT)
    status, out, err = run(capsys, "generate", *pair, "-n", "12", "--stats", PROMPT)
    assert (status, out) == (0, plain[1])
    assert re.search(r"^uag: 12 tokens in \d+\.\d\d s, .*, ended by length\n\Z", err, re.MULTILINE)


def test_trees_leave_the_text(capsys: pytest.CaptureFixture[str], demo: list[str]) -> None:
    asked = [*demo, "-n", "24", "-k", "3", "--json", "Once upon a time"]
    chains, trees = (
        json.loads(run(capsys, "generate", "--tree", tree, *asked)[1]) for tree in ("0", "15")
    )
    assert trees["token_ids"] == chains["token_ids"]
    assert trees["stats"]["candidates"] > chains["stats"]["candidates"]
    assert trees["stats"]["chains"] is None


def test_a_tree_without_effect_is_a_warning(
    capsys: pytest.CaptureFixture[str], demo: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uag.errors._warned", set())
    line = ["generate", *demo[:2], "--assistant", "lookup", "--tree", "7", "-n", "4", "Once"]
    status, _, err = run(capsys, *line)
    assert status == 0 and err.count("warning: ") == 1
    assert "warning: tree=7 has no effect: looked-up text is a chain; give an assistant" in err


def test_the_command_looks_up(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(STORY)
    plain = run(capsys, "generate", "--target", folder, "-n", "30", PROMPT)
    ways = ["--assistant", "lookup"], ["--lookup"], ["--no-lookup"], ["--text", str(text)]
    for extra in ways:
        assert run(capsys, "generate", "--target", folder, *extra, "-n", "30", PROMPT) == plain
    contradiction = ["--no-lookup", "--text", str(text)]
    status, _, err = run(capsys, "generate", "--target", folder, *contradiction, PROMPT)
    assert status == 2
    assert "leave one out" in err
    status, _, err = run(capsys, "generate", "--target", folder, "--text", "/no/file", PROMPT)
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot read a text from /no/file" in err


@pytest.fixture
def samples(folder: str, tmp_path: Path) -> str:
    """A target whose own generation defaults sample."""
    shutil.copytree(folder, tmp_path / "target")
    config = GenerationConfig.from_pretrained(folder)
    config.update(do_sample=True, temperature=5.0)
    config.save_pretrained(tmp_path / "target")
    return str(tmp_path / "target")


def test_greedy_decoding_for_a_target_that_samples_by_default(
    capsys: pytest.CaptureFixture[str], folder: str, samples: str
) -> None:
    asked = ["-n", "12", "--json", PROMPT]
    greedy = json.loads(run(capsys, "generate", "--target", folder, *asked)[1])
    assert greedy["seed"] is None
    for option in ("--greedy", "--no-do-sample"):
        status, out, _ = run(capsys, "generate", "--target", samples, option, *asked)
        assert (status, json.loads(out)["token_ids"]) == (0, greedy["token_ids"])
    for options in ([], ["--do-sample"], ["--seed", "3"]):
        status, out, _ = run(capsys, "generate", "--target", samples, *options, *asked)
        assert status == 0 and json.loads(out)["seed"] is not None


@pytest.mark.parametrize("option", ["--temperature", "--top-k", "--top-p", "--seed"])
def test_greedy_and_sampled_at_once(
    capsys: pytest.CaptureFixture[str], folder: str, option: str
) -> None:
    asked = ["generate", "--target", folder, "--greedy", option, "1", PROMPT]
    status, _, err = run(capsys, *asked)
    assert status == 2 and f"--greedy, but {option} samples" in err


def test_a_temperature_of_zero_names_the_remedy(
    capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    status, _, err = run(capsys, "generate", "--target", folder, "--temperature", "0", PROMPT)
    assert status == 1 and "--greedy" in err
