"""Results are read as `uag compare --json` printed them."""

from contextlib import closing
from pathlib import Path

from tests.support.files import file, printed
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder
from uag.benchmark.results import Result, Speedup, read_results
from uag.benchmark.timing import Timing


def test_results_are_read_as_they_were_printed(tmp_path: Path) -> None:
    path = file(tmp_path, printed(), printed(lookahead="auto", temperature=0.5, target=None))
    first, second = read_results([path])
    # Pairs of neighbours in time: 2, 1.5 and 1.5 times.
    assert first == Result(
        "big <- small", 5, 0.0, {"uag": Speedup(1.5, 1.5, 2.0)}, ("transformers",)
    )
    assert (second.pair, second.lookahead, second.temperature) == ("demo pair", "auto", 0.5)


def test_several_assistants_are_a_result_each(tmp_path: Path) -> None:
    others = [printed(), printed(assistant="./tiny")]
    several = {"target": "hub/big", "assistants": others, "recommendation": None}
    found = read_results([file(tmp_path, several, printed(target=None))])
    assert [result.pair for result in found] == ["big <- small", "big <- tiny", "demo pair"]


def test_partial_results_have_what_was_run(tmp_path: Path) -> None:
    def timing(runs: int) -> Timing:
        name = tokenizer("gpt2")
        decoder = SpeculativeDecoder(random_model("llama", name), name)
        timing = Timing(decoder, ["Once", "One day"], runs=2, max_new_tokens=4)
        with closing(timing.runs()) as made:
            for _ in range(runs):
                next(made)
        return timing

    settings = {"target": "big", "assistant": "small", "lookahead": "auto"}
    printed = [settings | timing(runs).result().as_dict() for runs in (1, 3, 7)]
    none, some, most = read_results([file(tmp_path, *printed)])
    assert (none.speedups, none.failed, none.missing) == ({}, ("plain", "uag"), (9, 10))
    assert (some.speedups, some.failed, some.missing) == ({}, ("uag",), (7, 10))
    assert [*most.speedups] == ["uag"] and most.missing == (3, 10)
