"""Results are read as `uag compare --json` printed them."""

from pathlib import Path

from tests.support.files import file, printed
from uag.benchmark.results import Result, Speedup, read_results


def test_results_are_read_as_they_were_printed(tmp_path: Path) -> None:
    path = file(tmp_path, printed(), printed(lookahead="auto", temperature=0.5, target=None))
    first, second = read_results([path])
    # Pairs of neighbours in time: 2, 1.5 and 1.5 times.
    assert first == Result(
        "big <- small", 5, 0.0, {"uag": Speedup(1.5, 1.5, 2.0)}, ("transformers",)
    )
    assert (second.pair, second.lookahead, second.temperature) == ("demo pair", "auto", 0.5)
