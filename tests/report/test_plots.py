"""Plots of comparisons: what stands in them is what was measured."""

from pathlib import Path
from typing import Any

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
    assert axes.get_ylabel().startswith("times plain decoding")


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
    assert sorted(names_in_legend(axes.figure)) == ["big ← small", "big ← small, lookahead auto"]


@pytest.mark.parametrize("by", ["pair", "lookahead", "temperature"])
def test_each_axis_has_a_name(tmp_path: Path, by: str) -> None:
    results = read_results([file(tmp_path, printed())])
    (axes,) = plot_results(results, by).axes
    assert axes.get_xlabel() and axes.get_ylabel()


@pytest.mark.parametrize("by", ["pair", "lookahead", "temperature"])
def test_nothing_covers_anything(tmp_path: Path, by: str) -> None:
    """Names of many pairs neither overlap nor leave the figure, nor does the legend."""
    assistants = [f"an-organisation/an-assistant-of-{at}-billion" for at in range(7)]
    many = [printed(assistant=name, target="hub/quite-a-large-target") for name in assistants]
    figure = plot_results(read_results([file(tmp_path, *many)]), by)
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    inside = figure.bbox.padded(1)
    names = axes.get_xticklabels() if by == "pair" else []
    for part in (axes.xaxis.label, axes.yaxis.label, legend, *names):
        box = part.get_window_extent()
        assert inside.containsx(box.x0) and inside.containsx(box.x1)
        assert inside.containsy(box.y0) and inside.containsy(box.y1)
    below = axes.xaxis.label.get_window_extent()
    assert legend.get_window_extent().y1 <= below.y0 + 1
    assert all(name.get_rotation() == 30 for name in names)


def names_in_legend(figure: Any) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


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
