"""One lookahead for several texts: in each round all of them draft as many ids, or none."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from uag.lookahead.shared import RowLookahead, SharedLookahead
from uag.stats import Round

DONE = Round([0], accepted=0, drafted=0, drafted_accepted=0, candidates=0, seconds={})


class Counting:
    """A `Sharing` whose answer is the number of the question."""

    def __init__(self) -> None:
        self.started = self.asked = self.updates = 0
        self.rows: list[int] = []

    def start(self) -> None:
        self.started += 1

    def share(self, rows: int) -> None:
        self.rows.append(rows)

    def next_k(self) -> int:
        self.asked += 1
        return self.asked

    def goes_on(self) -> None:
        return None

    def update(self, done: Round) -> None:
        self.updates += 1


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_rows_have_one_decision_a_round_in_any_order(rows: int, rounds: int, seed: int) -> None:
    counting, random = Counting(), Random(seed)
    shared = SharedLookahead(counting, lambda: rows)
    texts = [RowLookahead(shared) for _ in range(rows)]
    for text in texts:
        text.start()
    for number in range(1, rounds + 1):
        order = random.sample(texts, rows)
        assert [text.next_k() for text in order] == [number] * rows
        for text in order:
            text.update(DONE)
    assert counting.rows == [rows] * rounds
    assert counting.updates == rounds * rows
    assert counting.started == rows  # nothing was decided before the last began


def test_a_text_that_comes_later_has_the_decision_of_its_round() -> None:
    counting = Counting()
    shared = SharedLookahead(counting, lambda: 2)
    first, later = RowLookahead(shared), RowLookahead(shared)
    first.start()
    assert [first.next_k(), first.next_k()] == [1, 2]
    later.start()
    assert (counting.started, later.next_k(), first.next_k(), later.next_k()) == (1, 2, 3, 3)
