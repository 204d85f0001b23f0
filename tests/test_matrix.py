"""A sample of the matrix, and that it notices bugs; `python tests/matrix.py` runs all of it."""

from itertools import islice
from typing import Any

import pytest
import torch
from cells import FACTORS, Cell, more, refusals, refused
from matrix import counted, smallest
from trial import run, trained
from uag.decoding.verify import Verify, verifier
from uag.models.cache import RollbackCache

# Those take most of the time; the command has them.
SLOW = ("qwen3-next", "mamba", "demo", "demo-assistant")
pytestmark = pytest.mark.filterwarnings("ignore")


def quick(cell: Cell) -> bool:
    return not {cell.target, cell.assistant} & {*SLOW} and cell.engine == "eager"


def test_a_sample_of_cells_is_lossless() -> None:
    outcomes = [run(cell) for cell in islice(filter(quick, more(0, tuple(trained()))), 8)]
    assert not [(str(each.cell), each.difference) for each in outcomes if each.difference]
    counts = counted(outcomes)
    assert 0 < counts["accepted"] < counts["candidates"]
    assert counts["idle"] <= 3


def test_a_sample_of_refusals_is_as_documented() -> None:
    cells = list(filter(quick, refused(0, tuple(trained()))))
    causes = {refusals(cell)[0][1]: cell for cell in cells}
    assert len(causes) > 8
    for cell in causes.values():
        assert run(cell).refused, str(cell)


def test_a_compiled_cell_runs_compiled() -> None:
    outcome = run(Cell(engine="compiled"))
    assert (outcome.engine, outcome.difference) == ("compiled", "")


def test_the_name_of_a_cell_is_the_cell() -> None:
    for cell in islice(more(3, tuple(trained())), 200):
        assert Cell.named(str(cell)) == cell
    assert Cell.named(str(Cell())) == Cell()
    with pytest.raises(ValueError, match="target=no-such: it must be llama"):
        Cell.named("target=no-such")
    assert set(FACTORS) < set(Cell.__dataclass_fields__)


def believing(*arguments: Any) -> Verify:
    """Accepts a first candidate, whatever the target says."""
    verify = verifier(*arguments)

    def wrong(logits: torch.Tensor, ids: list[int], candidates: list[int]) -> list[int]:
        return candidates[:1] or verify(logits, ids, candidates)

    return wrong


CELL = Cell(lookup="beside", lookahead="wild", call="trace", seed=1)


def test_a_verifier_that_believes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uag.engine.verifier", believing)
    outcome = run(CELL)
    assert outcome.failed and "place" in outcome.difference
    small = smallest(CELL, lambda cell: run(cell).failed)
    assert run(small).failed and len(str(small)) < len(str(CELL))


def test_a_cache_that_keeps_one_id_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    roll_back = RollbackCache.roll_back

    def careless(self: RollbackCache, length: int) -> None:
        before = self.length
        roll_back(self, length)
        if self.length < before and self._only_buffers:
            # What was rejected is still there, where the next id should be.
            self.past.layers[0]._buffers[0].narrow(-2, max(0, length - 1), 1).add_(0.5)

    assert not run(CELL).difference
    monkeypatch.setattr(RollbackCache, "roll_back", careless)
    outcome = run(CELL)
    assert outcome.failed and "place" in outcome.difference
