"""Plots of comparisons, drawn by matplotlib."""

from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from uag.benchmark.comparison import ALONE, TRANSFORMERS, UAG
from uag.benchmark.results import Result, Speedup
from uag.errors import OptionError
from uag.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIR, LOOKAHEAD, TEMPERATURE = "pair", "lookahead", "temperature"
COLOURS = {UAG: "#0a756f", TRANSFORMERS: "#c98a1b", ALONE: "#6b7280"}
OTHERS = ("#5a47b8", "#b02f4b", "#2c6fb0", "#7a8b2e")
STYLES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 6.4, 3.8  # inches, without legend and turned names
CHARACTER, LINE, KEY = 0.085, 0.2, 0.6  # inches of small print


def plot_results(results: Sequence[Result], by: str | None = None) -> "Figure":
    """Plot the speed relative to plain decoding: the median of the repetitions, and their range.

    Args:
        results: from `read_results`.
        by: what to plot over: "pair" (bars), "lookahead" or "temperature" (lines). By default
            `what_differs`.

    Raises:
        OptionError: if matplotlib is missing, or for an unknown `by`.
    """
    drawings = {PAIR: _by_pair, LOOKAHEAD: _by_lookahead, TEMPERATURE: _by_temperature}
    by = by or what_differs(results)
    if by not in drawings:
        raise OptionError(f"by={by!r}: it must be one of {', '.join(drawings)}")
    figure = _new_figure()
    axes: Any = cast("Any", figure).add_subplot()
    drawings[by](axes, results)
    axes.axhline(1, color="#667080", linewidth=1, linestyle="--", zorder=1)
    axes.set_ylabel("times plain decoding (median, range)")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e3e0d8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, axes)
    return figure


def save_plot(figure: "Figure", path: Path) -> None:
    """Write a figure in the format that the file's name ends with: png, svg, pdf ...

    Raises:
        OptionError: if matplotlib has no format for the ending of the name.
        FileError: if the file cannot be written.
    """
    canvas: Any = cast("Any", figure).canvas
    known = cast("dict[str, str]", canvas.get_supported_filetypes())
    kind = path.suffix.removeprefix(".").lower()
    if kind not in known:
        raise OptionError(
            f"{path}: plots are written to files that end with one of {', '.join(sorted(known))}"
        )
    drawn = BytesIO()
    cast("Any", figure).savefig(drawn, format=kind, dpi=200)
    write_bytes(path, drawn.getvalue(), "the plot")


def what_differs(results: Sequence[Result]) -> str:
    """What to plot over: the temperature or the lookahead, if results differ in it, else the pair.

    >>> few = [Result("a <- b", k, 0.0, {}) for k in (2, 5)]
    >>> what_differs(few), what_differs(few[:1])
    ('lookahead', 'pair')
    """
    if len({result.temperature for result in results}) > 1:
        return TEMPERATURE
    if len({result.lookahead for result in results}) > 1:
        return LOOKAHEAD
    return PAIR


def left_out(results: Sequence[Result], by: str) -> list[str]:
    """What of the results is not in a plot over `by`, in words.

    Failures, runs that an interruption left out, and what is superseded.

    >>> speedups = {UAG: Speedup(2.0, 1.9, 2.1)}
    >>> left_out([Result("a <- b", k, 0.0, speedups) for k in (2, 5)], "pair")
    ['1 of 2 results of uag for a <- b, which a later one supersedes']
    """
    shown = None if by != LOOKAHEAD else [UAG]
    failed = [
        f"{method} for {result.pair}, which {'failed' if result.missing is None else 'was not run'}"
        for result in results
        for method in result.failed
        if shown is None or method in shown
    ]
    methods = shown or _methods(results)
    places = Counter(
        (method, result.pair, None if by == PAIR else getattr(result, by))
        for result in results
        for method in methods
        if method in result.speedups
    )
    superseded = [
        f"{count - 1} of {count} results of {method} for {pair}"
        f"{'' if by == PAIR else f' at {by} {at}'}, which a later one supersedes"
        for (method, pair, at), count in places.items()
        if count > 1
    ]
    interrupted = [
        f"{result.missing[0]} of {result.missing[1]} runs for {result.pair}, which was interrupted"
        for result in results
        if result.missing is not None
    ]
    return failed + interrupted + superseded


def _new_figure() -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError("plots need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(WIDTH, HEIGHT), layout="constrained")


def _add_legend(figure: "Figure", axes: Any) -> None:
    """Put the legend under the axes, where it covers nothing, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    columns = max(1, int(WIDTH / (KEY + CHARACTER * max(map(len, labels)))))
    rows = -(-len(labels) // columns)
    drawn: Any = figure
    drawn.set_figheight(drawn.get_figheight() + LINE * rows)
    drawn.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small"
    )


def _arrow(pair: str, before: str = " ") -> str:
    return pair.replace(" <- ", f"{before}← ")


def _by_pair(axes: Any, results: Sequence[Result]) -> None:
    """A group of bars for each pair, in the order of the files."""
    pairs = list(dict.fromkeys(result.pair for result in results))
    methods = _methods(results)
    width = 0.8 / max(1, len(methods))
    for at, method in enumerate(methods):
        found = [_last(results, pair, method) for pair in pairs]
        places = [place for place, each in enumerate(found) if each is not None]
        some = [each for each in found if each is not None]
        offset = (at - (len(methods) - 1) / 2) * width
        bars = axes.bar(
            [place + offset for place in places],
            [each.median for each in some],
            width * 0.92,
            yerr=_errors(some),
            error_kw={"elinewidth": 1, "ecolor": "#1c2430"},
            color=_colour(method, at),
            label=method,
        )
        axes.bar_label(bars, fmt="%.2f", fontsize="small", padding=2)
    names = [_arrow(pair, before="\n") for pair in pairs]
    widest = max(len(line) for name in names for line in name.split("\n"))
    axes.set_xticks(range(len(pairs)), names)
    if widest * len(pairs) * CHARACTER > WIDTH:
        for name in axes.get_xticklabels():
            name.set(rotation=30, ha="right", rotation_mode="anchor")
        axes.figure.set_figheight(HEIGHT + CHARACTER * widest / 2)
    axes.set_xlabel("target ← assistant")
    room = 0.6 if len(pairs) > 1 else 1.0
    axes.set_xlim(-room, len(pairs) - 1 + room)
    axes.margins(y=0.15)


def _by_lookahead(axes: Any, results: Sequence[Result]) -> None:
    """A line for each pair; a schedule without a number is a horizontal line."""
    pairs = list(dict.fromkeys(result.pair for result in results))
    colours = dict(zip(pairs, cycle([COLOURS[UAG], *OTHERS]), strict=False))
    for pair, colour in colours.items():
        mine = [result for result in results if result.pair == pair and UAG in result.speedups]
        fixed = {each.lookahead: each.speedups[UAG] for each in mine if _is_number(each.lookahead)}
        if fixed:
            _line(axes, fixed, label=_arrow(pair), color=colour)
        others = {each.lookahead: each for each in mine if not _is_number(each.lookahead)}
        for name, each in others.items():
            median = each.speedups[UAG].median
            label = f"{_arrow(pair)}, lookahead {name}"
            axes.axhline(median, color=colour, linestyle=":", label=label)
    axes.set_xlabel("lookahead: ids that uag drafts in a round")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _by_temperature(axes: Any, results: Sequence[Result]) -> None:
    """A line for each pair and method: the colour shows the method, the style the pair."""
    pairs = list(dict.fromkeys(result.pair for result in results))
    for pair, style in zip(pairs, cycle(STYLES), strict=False):
        for at, method in enumerate(_methods(results)):
            found = {
                each.temperature: each.speedups[method]
                for each in results
                if each.pair == pair and method in each.speedups
            }
            if found:
                label = method if len(pairs) == 1 else f"{_arrow(pair)}, {method}"
                _line(axes, found, label=label, color=_colour(method, at), linestyle=style)
    axes.set_xlabel("temperature (0: greedy)")


def _is_number(lookahead: int | str) -> bool:
    return isinstance(lookahead, int)


def _line(axes: Any, found: Mapping[Any, Speedup], **look: str) -> None:
    """Draw a line of speed-ups over the keys of `found`, in their order."""
    places = sorted(found)
    speedups = [found[place] for place in places]
    medians = [each.median for each in speedups]
    errors = _errors(speedups)
    axes.errorbar(
        places, medians, errors, marker="o", markersize=4, capsize=2, elinewidth=1, **look
    )


def _methods(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(method for result in results for method in result.speedups))


def _last(results: Sequence[Result], pair: str, method: str) -> Speedup | None:
    """The last speed-up of a pair with a method; earlier ones count as superseded."""
    found = [result for result in results if result.pair == pair and method in result.speedups]
    return found[-1].speedups[method] if found else None


def _errors(speedups: Sequence[Speedup]) -> list[list[float]]:
    return [
        [each.median - each.low for each in speedups],
        [each.high - each.median for each in speedups],
    ]


def _colour(method: str, at: int) -> str:
    return COLOURS.get(method, OTHERS[at % len(OTHERS)])
