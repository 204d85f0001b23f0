"""What is shown of a comparison while it runs."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from uag.benchmark.comparison import Comparison, Method, Run
from uag.cli.watching import following, watched


@dataclass
class Scripted:
    """A comparison of two methods with a prompt, whose runs take a number of seconds each."""

    seconds: float
    total: int = 42
    done: int = 0

    @property
    def just_warmed_up(self) -> bool:
        return self.done == 2

    @property
    def at_a_prompts_end(self) -> bool:
        return self.done % 2 == 0

    def seconds_left(self) -> float | None:
        return None if self.done < 2 else (self.total - self.done) * self.seconds

    def comparison(self) -> Comparison:
        runs = [[Run([1], self.seconds, 1)]] * ((self.done - 2) // 2)
        return Comparison(["Once"], [Method("plain", runs), Method("uag", runs)])


def watch(timing: Any) -> None:
    with watched(timing) as show:
        while timing.done < timing.total:
            timing.done += 1
            show()


def test_without_a_terminal_a_line_now_and_then_says_how_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch(Scripted(seconds=10))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and lines[0] == "uag: 2 of 42 runs, about 7 min left"
    assert lines[1:3] == [
        "uag: 5 of 42 runs, about 6 min left",
        "uag: 9 of 42 runs, about 6 min left",
    ]
    # After the warm-up and at each tenth but the last, after which nothing is left.
    assert len(lines) == 10 and lines[-1] == "uag: 38 of 42 runs, about 40 s left"


def test_nothing_is_said_of_what_takes_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    watch(Scripted(seconds=0.1))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_table_fills(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    watch(Scripted(seconds=0.5, total=8))
    out, err = capsys.readouterr()
    assert out == ""
    before, _, after = err.partition("4/8")
    assert "not run" in before and "2.0-2.0" in before + after
    assert "runs, about 5 s left" in err and "8/8" in err


def test_long_work_says_how_much_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each tenth, counted from what was there already; nothing if it takes a moment."""
    for each, lines in ((10.0, 4), (0.001, 0)):
        now = count(0.0, each)
        monkeypatch.setattr("uag.cli.watching.time.monotonic", now.__next__)
        with following("writing", "prompts", 5, 10) as show:
            for _ in range(5):
                show()
        _, err = capsys.readouterr()
        assert len(err.splitlines()) == lines
        assert err.startswith("uag: 6 of 10 prompts, about 40 s left") == bool(lines)
