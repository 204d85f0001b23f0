"""`uag compare`."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.tokenizers import PROMPT
from uag.benchmark.methods import TimedMethod


def test_two_models_are_compared_on_a_file_of_prompts(
    capsys: pytest.CaptureFixture[str], pair: list[str], tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"{PROMPT}\nThe dog\nnot read\n")
    asked = ["--prompts", str(prompts), "--limit", "2", "--runs", "1", "-n", "8", "--threads", "1"]
    status, out, err = run(capsys, "compare", *pair, *asked, "--json")
    described = json.loads(out)
    assert (status, out.count("\n")) == (0, 1) and "Traceback" not in err
    assert described["identical"] and described["prompts"] == 2 and described["threads"] == 1
    assert [method["name"] for method in described["methods"]] == ["plain", "transformers", "uag"]
    assert all(
        method["tokens"] == 16 and method["tokens_per_second"] > 0
        for method in described["methods"]
    )
    assert described["dtype"] == "float32" and described["methods"][2]["seconds"]["verify"] > 0


def test_the_demo_pair_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "compare", "--limit", "1", "--runs", "1", "-n", "8")
    assert (status, err) == (0, "")
    assert "transformers" in out and "identical output: yes" in out


def test_compare_has_transformers_prompt_lookup_beside_it(
    capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    arguments = ["--target", folder, "--assistant", "lookup", "-n", "8", "--runs", "1", "--json"]
    status, out, _ = run(capsys, "compare", *arguments, "--limit", "1")
    assert status == 0
    assert '"transformers"' in out
    assert '"lookup": true' in out


def test_a_file_alone_drafts(
    capsys: pytest.CaptureFixture[str], folder: str, tmp_path: Path
) -> None:
    text = tmp_path / "old.txt"
    text.write_text(PROMPT)
    asked = ["--text", str(text), "--limit", "1", "-n", "8", "--runs", "1", "--json"]
    status, out, _ = run(capsys, "compare", "--target", folder, *asked)
    found = json.loads(out)
    assert status == 0 and found["lookup"] and found["identical"]
    assert found["assistant"] == "lookup"


def test_a_target_without_anything_that_drafts_is_a_mistake(
    capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    status, _, err = run(capsys, "compare", "--target", folder)
    assert status == 2 and "--text" in err


def test_compare_says_how_it_decodes(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "--limit", "1", "--runs", "1", "-n", "4"]
    for options, decoding in (
        ([], "greedy, as no temperature is given"),
        (["--greedy"], "greedy, as no temperature is given"),
        (["--no-do-sample"], "greedy, as no temperature is given"),
        (["--temperature", "0.5", "--seed", "7"], "sampled at temperature 0.5, uag with seed 7"),
    ):
        _, out, _ = run(capsys, *asked, *options)
        assert f"decoding: {decoding}" in out
        _, out, _ = run(capsys, *asked, *options, "--json")
        assert json.loads(out)["decoding"] == decoding
    status, _, err = run(capsys, *asked, "--greedy", "--temperature", "0.5")
    assert status == 2 and "--greedy, but --temperature samples" in err


@pytest.mark.parametrize(
    ("at", "shown", "not_run"), [(1, "after 0 of 6", 3), (4, "after 3 of 6", 3), (5, "4 of 6", 2)]
)
def test_an_interrupt_leaves_what_was_run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    at: int,
    shown: str,
    not_run: int,
) -> None:
    decode = TimedMethod.decode_once
    page = tmp_path / "page.html"
    asked = ["compare", "--limit", "1", "--runs", "1", "-n", "4", "--report", str(page)]
    for options in ([], ["--json"]):
        runs = count(1)

        def interrupted(
            method: TimedMethod, text: tuple[str, list[int]], runs: Iterator[int] = runs
        ) -> None:
            if next(runs) == at:
                raise KeyboardInterrupt
            decode(method, text)

        monkeypatch.setattr(TimedMethod, "decode_once", interrupted)
        status, out, _ = run(capsys, *asked, *options)
        assert status == 130 and not page.exists()
        if options:
            found = json.loads(out)
            assert found["complete"] is False and found["interrupted"] == {
                "done": at - 1,
                "total": 6,
            }
            assert sum("error" in method for method in found["methods"]) == not_run
        else:
            assert out.count("not run") == not_run and shown in out
