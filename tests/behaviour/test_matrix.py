"""A sample of the matrix, and that it notices bugs; `tests.campaigns.matrix` runs all of it."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch

from tests.support.matrix.cases import FACTORS, Case, more, refusals, refused
from tests.support.matrix.models import trained
from tests.support.matrix.run import counted, run, smallest
from uag.decoding.verify import Verify, verifier
from uag.models.caches.rollback import RollbackCache

# Those take most of the time; the command has them.
SLOW = ("qwen3-next", "mamba", "demo", "demo-assistant")

pytestmark = pytest.mark.filterwarnings("ignore")


def quick(case: Case) -> bool:
    return not {case.target, case.assistant} & {*SLOW} and case.engine == "eager"


def branching(case: Case) -> bool:
    return quick(case) and case.branches


def sample(kind: Callable[[Case], bool], count: int) -> dict[str, int]:
    """The counts of so many cases of a kind, of which none differs."""
    outcomes = [run(case) for case in islice(filter(kind, more(0, tuple(trained()))), count)]
    assert not [(str(each.case), each.difference) for each in outcomes if each.difference]
    return counted(outcomes)


def test_a_sample_of_cases_is_lossless() -> None:
    counts = sample(quick, 8)
    assert 0 < counts["accepted"] < counts["candidates"]
    assert counts["idle"] <= 3


def test_a_sample_of_trees_is_lossless() -> None:
    counts = sample(branching, 12)
    assert 0 < counts["beside"] < counts["accepted"] < counts["candidates"]


def test_a_sample_of_refusals_is_as_documented() -> None:
    cases = list(filter(quick, refused(0, tuple(trained()))))
    causes = {refusals(case)[0][1]: case for case in cases}
    assert len(causes) > 8
    for case in causes.values():
        assert run(case).refused, str(case)


def test_a_compiled_case_runs_compiled() -> None:
    outcome = run(Case(engine="compiled"))
    assert (outcome.engine, outcome.difference) == ("compiled", "")


def test_the_name_of_a_case_is_the_case() -> None:
    for case in islice(more(3, tuple(trained())), 200):
        assert Case.named(str(case)) == case
    assert Case.named(str(Case())) == Case()
    with pytest.raises(ValueError, match="target=no-such: it must be llama"):
        Case.named("target=no-such")
    assert set(FACTORS) < set(Case.__dataclass_fields__)


def believing(*arguments: Any) -> Verify:
    """Accepts a first candidate, whatever the target says."""
    verify = verifier(*arguments)

    def wrong(
        logits: torch.Tensor, ids: list[int], candidates: list[int], *tree: Any
    ) -> Iterator[int]:
        return iter(candidates[:1]) if candidates else verify(logits, ids, candidates)

    return wrong


CASE = Case(lookup="beside", lookahead="wild", call="trace", seed=1)


def test_a_verifier_that_believes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uag.engine.verifier", believing)
    outcome = run(CASE)
    assert outcome.failed and "place" in outcome.difference
    small = smallest(CASE, lambda case: run(case).failed)
    assert run(small).failed and len(str(small)) < len(str(CASE))


def test_a_cache_that_keeps_one_id_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    roll_back = RollbackCache.roll_back

    def careless(self: RollbackCache, length: int) -> None:
        before = self.length
        roll_back(self, length)
        if self.length < before and self._only_buffers:
            # What was rejected is still there, where the next id should be.
            self.past.layers[0]._buffers[0].narrow(-2, max(0, length - 1), 1).add_(0.5)

    assert not run(CASE).difference
    monkeypatch.setattr(RollbackCache, "roll_back", careless)
    outcome = run(CASE)
    assert outcome.failed and "place" in outcome.difference


def test_a_cache_that_leaves_the_rows_of_a_path_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(tree="31", texts="ids", seed=8)
    outcome = run(case)
    assert outcome.beside and not outcome.difference
    monkeypatch.setattr("uag.models.caches.rollback.gather_path", lambda *_: None)
    outcome = run(case)
    assert outcome.failed and "place" in outcome.difference
