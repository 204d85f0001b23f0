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
        "tokens_per_forward": 2,
        "identical_prompts": 1,
        "seconds": {},
    }
    assert "1.0-8.0" in shown(comparison)
