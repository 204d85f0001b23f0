"""The seconds of a round by phase add up to the time that passes."""

from contextlib import suppress
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uag.clock import Clock, now, set_clock, stopped

times = st.floats(0, 100)


@given(st.lists(st.tuples(st.sampled_from("abc"), times, times), max_size=8))
def test_phases_and_the_rest_add_up(spans: list[tuple[str, float, float]]) -> None:
    machine = [0.0]

    def measure() -> dict[str, float]:
        set_clock(lambda: machine[0])
        clock = Clock()
        for name, inside, outside in spans:
            with clock.phase(name):
                machine[0] += inside
            machine[0] += outside
        return clock.seconds()

    seconds = copy_context().run(measure)
    for name in {name for name, *_ in spans}:
        assert seconds[name] == pytest.approx(sum(s for each, s, _ in spans if each == name))
    assert seconds["other"] == pytest.approx(sum(each for *_, each in spans), abs=1e-9)


def test_a_phase_that_raises_is_counted() -> None:
    clock = Clock()
    with pytest.raises(KeyError), clock.phase("verify"):
        raise KeyError
    assert set(clock.seconds()) == {"verify", "other"}


def test_what_happens_while_the_clock_is_stopped_is_no_part_of_a_phase() -> None:
    machine = [0.0]

    def measure() -> dict[str, float]:
        set_clock(lambda: machine[0])
        clock = Clock()
        for inside in (3.0, 4.0):
            with clock.phase("draft"):
                machine[0] += 1
                with stopped():
                    machine[0] += inside
        with suppress(KeyError), stopped():
            machine[0] += 5
            raise KeyError
        machine[0] += 0.5
        return clock.seconds()

    assert copy_context().run(measure) == {"draft": 2.0, "other": 0.5}


def test_a_clock_is_set_in_one_context_only() -> None:
    context = copy_context()
    context.run(set_clock, lambda: -5.0)
    assert context.run(now) == -5.0 != now()
