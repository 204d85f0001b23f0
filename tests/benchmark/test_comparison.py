"""The numbers of a comparison."""

import json

from tests.support.pages import shown
from uag.benchmark.comparison import Comparison, Method, Run


def test_numbers_are_medians_of_pairs() -> None:
    def way(name: str, *seconds: float) -> Method:
        return Method(name, [[Run([1, 2], each, 1)] for each in seconds])

    # The machine was slow in the second repetition, for both.
    comparison = Comparison(["Once"], [way("plain", 1, 4, 1), way("uag", 0.5, 2, 0.25)])
    assert comparison.methods[1].speeds == [4, 1, 8] and comparison.methods[1].speed == 4
    assert comparison.speedup(comparison.methods[1]) == 2
    described = comparison.as_dict()
    assert described == json.loads(json.dumps(described))
    assert described["methods"][1] == {
        "name": "uag",
        "tokens": 2,
        "target_forwards": 1,
        "tokens_per_second": 4,
        "speeds": [4, 1, 8],
        "speedup": 2,
        "speedups": [2, 2, 4],
        "first_speedup": None,
        "tokens_per_forward": 2,
        "identical_prompts": 1,
        "seconds": {},
    }
    assert "1.0-8.0" in shown(comparison)


def test_an_interrupted_repetition_counts_the_prompts_that_both_ran() -> None:
    slow, slower, fast = (Run([1, 2], seconds, 1) for seconds in (1.0, 4.0, 0.5))
    plain = Method("plain", [[slow, slower], [slow, slower]], first=slower)
    ours = Method("uag", [[fast, fast], [fast]], first=slow)
    comparison = Comparison(["a", "b"], [plain, ours], interrupted=(9, 10))
    assert comparison.speedups(ours) == [5, 2]
    assert comparison.identical and comparison.identical_prompts(ours) == 2
    # The first run beside plain decoding's later ones, on the same prompt.
    assert [comparison.first_speedup(method) for method in (plain, ours)] == [0.25, 1]
    assert "interrupted after 9 of 10 runs" in shown(comparison)
    assert repr(comparison).startswith("Comparison(2 prompts, greedy, interrupted after 9 of 10")


def test_a_method_without_a_run_is_shown_as_such() -> None:
    methods = [Method("plain", [[Run([1], 1.0, 1)]]), Method("uag", [])]
    comparison = Comparison(["a", "b"], methods, interrupted=(3, 10))
    assert comparison.identical and "not run" in shown(comparison)
    assert comparison.as_dict()["methods"][1] == {"name": "uag", "error": "no run was completed"}
    nothing = Comparison(["a"], [Method("plain", []), Method("uag", [])], interrupted=(1, 6))
    assert shown(nothing).count("not run") == 2 and "output: not compared" in shown(nothing)
    assert "uag not run" in repr(nothing)


def test_the_table_fits_a_terminal() -> None:
    runs = [[Run([1] * 120, seconds, 1)] * 100 for seconds in (1.0, 0.1, 10.0)]
    names = ["plain", "transformers", "plain by graphs", "uag"]
    methods = [Method(name, runs, first=runs[0][0]) for name in names]
    lines = shown(Comparison(["a"] * 100, methods), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    whole = ("1200", "12.0-1200", "100 of 100", "transformers")
    assert all(any(number in line for line in lines) for number in whole)
