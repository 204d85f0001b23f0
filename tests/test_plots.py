"""Plots of comparisons: what stands in them is what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import uag
from test_cli import run
from uag.benchmark.results import Result, Speedup, read_results
from uag.report.plots import plot_results, save_plot, what_differs

matplotlib = pytest.importorskip("matplotlib")


def printed(**changes: Any) -> dict[str, Any]:
    """What `uag compare --json` prints, as far as plots read it."""
    methods = [
        {"name": "plain", "speeds": [10.0, 20.0, 10.0]},
        {"name": "transformers", "error": "IndexError: no such id"},
        {"name": "uag", "speeds": [20.0, 30.0, 15.0]},
    ]
    return {
        "target": "hub/big",
        "assistant": "./small",
        "lookahead": "5",
        "methods": methods,
    } | changes


def file(folder: Path, *results: dict[str, Any]) -> Path:
    path = folder / "results.jsonl"
    path.write_text("\n".join(map(json.dumps, results)) + "\n\n")
    return path


def test_results_are_read_as_they_were_printed(tmp_path: Path) -> None:
    path = file(tmp_path, printed(), printed(lookahead="auto", temperature=0.5, target=None))
    first, second = read_results([path])
    # Pairs of neighbours in time: 2, 1.5 and 1.5 times.
    assert first == Result("big <- small", 5, 0.0, {"uag": Speedup(1.5, 1.5, 2.0)})
    assert (second.pair, second.lookahead, second.temperature) == ("demo pair", "auto", 0.5)


def test_bars_have_the_height_of_the_speedup(tmp_path: Path) -> None:
    other = printed(
        assistant="tiny",
        methods=[*printed()["methods"][:1], {"name": "uag", "speeds": [5.0, 10.0, 5.0]}],
    )
    figure = plot_results(read_results([file(tmp_path, printed(), other)]))
    (axes,) = figure.axes
    assert [round(bar.get_height(), 6) for bar in axes.patches] == [1.5, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["big\n← small", "big\n← tiny"]
    assert axes.get_ylabel() == "times plain decoding"


@pytest.mark.parametrize(
    ("by", "changes"), [("lookahead", "lookahead"), ("temperature", "temperature")]
)
def test_lines_go_through_what_was_measured(tmp_path: Path, by: str, changes: str) -> None:
    results = read_results([file(tmp_path, *(printed(**{changes: at}) for at in (4, 0, 2)))])
    assert what_differs(results) == by
    (axes,) = plot_results(results).axes
    line = next(line for line in axes.lines if line.get_marker() == "o")
    assert [list(line.get_xdata()), list(line.get_ydata())] == [[0, 2, 4], [1.5] * 3]


def test_schedules_without_a_number_go_across(tmp_path: Path) -> None:
    results = read_results([file(tmp_path, printed(), printed(lookahead="auto"))])
    (axes,) = plot_results(results).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(labels) == ["big <- small", "big <- small, auto"]


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


MISTAKES = [
    ("{}", "not what uag compare --json prints"),
    ("[1]", "not what uag compare --json prints"),
    ("no json", "line 1: this is not what"),
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


def test_formats_and_folders_that_do_not_exist(tmp_path: Path) -> None:
    figure = plot_results(read_results([file(tmp_path, printed())]))
    with pytest.raises(uag.OptionError, match="end with one of"):
        save_plot(figure, tmp_path / "plot.docx")
    with pytest.raises(uag.FileError, match="No such file"):
        save_plot(figure, tmp_path / "no" / "plot.png")
    with pytest.raises(uag.OptionError, match="by='weather'"):
        plot_results([], "weather")


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(uag.OptionError, match=r"pip install 'uag\[plot\]'"):
        plot_results([])
