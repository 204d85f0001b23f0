"""Whatever a command line says, it runs or a line says why not; see the campaign for all of it."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.campaigns.command_lines import (
    BYTES,
    CLOSED,
    FULL,
    Outcome,
    Trial,
    faults,
    mixed,
    outcome,
    ready,
    trials,
)
from tests.support.commands import COMMANDS, options_of

# About one trial in two hundred.
SAMPLE, MIXTURES = 25, 5


@pytest.fixture(scope="module")
def ran() -> Iterator[Callable[[Trial], Outcome]]:
    """Runs trials in a process that has not computed: torch's threads do not live on in a fork."""
    with ProcessPoolExecutor(1, get_context("spawn"), ready) as fresh:
        yield lambda trial: fresh.submit(outcome, trial).result()


def test_a_command_line_runs_or_says_why_not(ran: Callable[[Trial], Outcome]) -> None:
    chance = random.Random(0)
    chosen = [*chance.sample([*trials()], SAMPLE), *(mixed(chance) for _ in range(MIXTURES))]
    found = {str(trial): (ran(trial), trial) for trial in chosen}
    wrong = {
        line: (said, out.err[-600:])
        for line, (out, trial) in found.items()
        if (said := [*faults(trial, out)])
    }
    assert wrong == {}
    assert {0, 1} <= {out.status for out, _ in found.values()}


def test_every_option_is_tried() -> None:
    tried = {(trial.command, name) for trial in trials() for name in trial.given}
    for name, command in COMMANDS.items():
        assert {(name, option.name) for option in options_of(command)} <= tried


def test_a_full_standard_error_does_not_stop_the_work(ran: Callable[[Trial], Outcome]) -> None:
    plain, full = (ran(Trial("generate", {}, streams)) for streams in ({}, {2: FULL}))
    assert plain.err and (full.status, full.out) == (plain.status, plain.out) == (0, plain.out)


@pytest.mark.parametrize(
    ("given", "streams", "said"),
    [
        ({"prompt": ["-"]}, {0: CLOSED}, "standard input is closed"),
        ({"prompt": ["-"]}, {0: BYTES}, "no UTF-8 text"),
        ({}, {1: CLOSED}, "standard output is closed"),
        ({}, {1: FULL}, "cannot write the output: No space left on device"),
        ({"as_json": ["--json"]}, {1: FULL}, "cannot write the output: No space left on device"),
    ],
)
def test_streams_that_are_closed_or_full_are_a_line(
    ran: Callable[[Trial], Outcome],
    given: dict[str, list[str]],
    streams: dict[int, str],
    said: str,
) -> None:
    found = ran(Trial("generate", given, streams))
    *before, last = found.err.splitlines()
    assert found.status == 1
    assert last.startswith("uag: ") and said in last
    assert all(each.startswith("uag: loading") for each in before)


@pytest.mark.parametrize(
    ("status", "err"),
    [
        (1, "Traceback (most recent call last):\n"),
        (1, "uag: bad a\x1b\n"),
        (1, "uag: a name\nuag: another\n"),
        (1, "uag: nothing is named\n"),
        (1, ""),
        (2, "uag: --target is missing\n"),
        (0, "uag: --target is missing\n"),
        (-11, ""),
    ],
)
def test_what_a_fault_is(status: int, err: str) -> None:
    trial = Trial("generate", {"target": ["a name"]})
    assert [*faults(trial, Outcome(status, "", err, interrupted=False))]
    assert not [*faults(trial, Outcome(1, "", "uag: bad a name\n", interrupted=False))]
