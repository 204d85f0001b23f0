"""Plots of comparisons: what stands in them is what was measured."""

from pathlib import Path

import pytest

import uag
from tests.support.files import file, printed
from uag.benchmark.results import read_results
from uag.report.plots import plot_results, save_plot, what_differs

matplotlib = pytest.importorskip("matplotlib")


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
    with pytest.raises(uag.OptionError, match="pip install matplotlib"):
        plot_results([])
