import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

import uag.models.linear.fastest as module
from uag.models.linear.fastest import Fastest, fastest_of
from uag.models.linear.forms import Form

ROWS, WEIGHT = torch.randn(4, 64), torch.randn(64, 64)


class Clock:
    """Seconds pass only where a form says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def form(self, *seconds: float, wrong: float = 0.0) -> Form:
        """A form that takes these seconds in turn, and whose results are wrong by so much."""
        turns = list(seconds)

        def form(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            turns.append(turns.pop(0))
            self.seconds += turns[-1]
            return linear(rows, weight, bias) + wrong

        return form


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    return clock


def settled(monkeypatch: pytest.MonkeyPatch, *forms: Form) -> tuple[int, int]:
    """The place of the form that is found among those given, and after how many calls."""
    monkeypatch.setattr(module, "forms", lambda: list(forms))
    fastest, calls = Fastest(), 0
    while fastest.form is None:
        torch.testing.assert_close(fastest(ROWS, WEIGHT, None), linear(ROWS, WEIGHT))
        calls += 1
        assert calls < 100
    assert fastest.is_own == (fastest.form is forms[0])
    return forms.index(fastest.form), calls


def test_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    found, _ = settled(monkeypatch, clock.form(3.0), clock.form(2.9), clock.form(2.5))
    assert found == 2


def test_a_small_gain_is_none(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert settled(monkeypatch, clock.form(1.0), clock.form(0.95))[0] == 0
    assert settled(monkeypatch, clock.form(1e-5), clock.form(5e-6))[0] == 0


def test_a_few_disturbed_times_change_nothing(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    fast = clock.form(1.0, 1.0, 50.0)
    assert settled(monkeypatch, clock.form(2.0), fast)[0] == 1


def test_what_is_slow_is_not_tried_for_long(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    found, calls = settled(monkeypatch, clock.form(1.0), clock.form(9.0), clock.form(9.0))
    assert found == 0
    assert calls < 2 * module.TIMES


def test_a_form_that_gives_something_else_or_fails_is_never_taken(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def fails(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise RuntimeError("not on this machine")

    wrong = (clock.form(0.1, wrong=1.0), clock.form(0.1, wrong=float("nan")), fails)
    assert settled(monkeypatch, clock.form(1.0), *wrong)[0] == 0


def test_layers_of_a_shape_share_what_was_found() -> None:
    other = torch.randn(64, 64)
    assert fastest_of(WEIGHT, 4, 1) is fastest_of(other, 4, 1)
    assert fastest_of(WEIGHT, 4, 1) is not fastest_of(WEIGHT, 5, 1)
    assert fastest_of(WEIGHT, 4, 1) is not fastest_of(WEIGHT, 4, 2)
