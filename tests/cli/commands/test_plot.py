"""`uag plot`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import run
from tests.support.files import file, printed


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_command_plots_what_compare_prints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    asked = ["compare", "--limit", "1", "--runs", "1", "-n", "6", "--temperature", "0.7", "--json"]
    status, out, _ = run(capsys, *asked)
    found = json.loads(out)
    assert status == 0 and found["temperature"] == 0.7 and found["identical"]
    assert [method["name"] for method in found["methods"]] == [
        "plain",
        "transformers",
        "uag alone",
        "uag",
    ]
    assert [method.get("identical_prompts") for method in found["methods"]] == [None, None, 1, 1]
    results = tmp_path / "results.json"
    results.write_text(out)
    status, out, err = run(capsys, "plot", str(results), "--out", str(tmp_path / f"plot.{kind}"))
    assert (status, out) == (0, "") and "the plot is in" in err
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert (tmp_path / f"plot.{kind}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("results", "by", "left_out"),
    [
        ([{}], "pair", ["transformers for big <- small, which failed"]),
        ([{"lookahead": 2}, {}], "lookahead", []),
        (
            [{}, {}, {"lookahead": "auto"}, {"lookahead": "auto"}],
            "lookahead",
            [
                f"1 of 2 results of uag for big <- small at lookahead {at}, which a later"
                for at in (5, "auto")
            ],
        ),
        (
            [{"methods": printed()["methods"][::2], "temperature": at} for at in (0, 0, 0.5)],
            "temperature",
            ["1 of 2 results of uag for big <- small at temperature 0.0, which a later"],
        ),
        (
            [
                {
                    "interrupted": {"done": 9, "total": 30},
                    "methods": [
                        {"name": "plain", "speeds": [10.0]},
                        {"name": "uag", "error": "no run was completed"},
                    ],
                }
            ],
            "pair",
            [
                "uag for big <- small, which was not run",
                "21 of 30 runs for big <- small, which was interrupted",
            ],
        ),
    ],
)
def test_what_is_not_in_the_plot_is_said(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    results: list[dict[str, Any]],
    by: str,
    left_out: list[str],
) -> None:
    path = file(tmp_path, *(printed(**each) for each in results))
    status, _, err = run(capsys, "plot", str(path), "--out", str(tmp_path / "a.svg"), "--by", by)
    said = [line for line in err.splitlines() if line.startswith("uag: not in the plot: ")]
    assert status == 0 and len(said) == len(left_out)
    assert all(words in line for words, line in zip(left_out, said, strict=True))


MISTAKES = [
    ("{}", "not what uag compare --json prints"),
    ("[1]", "not what uag compare --json prints"),
    ("no json", "line 1: this is not what"),
    ("[" * 100_000, "this is not what"),
    ('{"methods": []}', "no results of plain decoding"),
    ("", "has no results"),
    (None, "cannot read results from"),
]


@pytest.mark.parametrize(("content", "message"), MISTAKES, ids=[each for _, each in MISTAKES])
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, message: str
) -> None:
    results = tmp_path / "results.json"
    if content is not None:
        results.write_text(content)
    status, out, err = run(capsys, "plot", str(results), "--out", str(tmp_path / "plot.png"))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("uag: ") and message in err
