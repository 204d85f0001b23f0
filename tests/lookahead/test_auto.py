"""The adaptive lookahead in simulated worlds: near the best fixed length, or near plain."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from statistics import harmonic_mean
from typing import Any

import pytest

from tests.support.simulated_gpu import HOST, LARGE, MIDDLE, Pair, SimulatedGPU, slow_assistant
from uag.lookahead.auto import Auto
from uag.lookahead.estimates import LONGEST, Estimates
from uag.lookahead.schedules import Fixed
from uag.stats import Round


@dataclass
class World:
    """Two models as seconds and chances: a plain round takes 1.

    Confidences are right: an id of confidence c is accepted with the chance c, or never.
    """

    step: float
    wider: float = 0.02  # a further position in a verification
    wide: float = 0.0  # any width above `cheap`
    cheap: int = 1
    sure: float = 0.8  # how often the assistant is sure
    first: float = 1.0  # of the chance of a draft's first id
    right: bool = True
    noise: float = 0.0
    random: Random = field(default_factory=lambda: Random(0), repr=False)

    def confidence(self) -> float:
        return 0.97 if self.random.random() < self.sure else 0.4

    def taken(self, seconds: float) -> float:
        """A measurement: some take long because something else ran."""
        late = self.random.random() < self.noise
        return seconds * (10 if late else 1 + self.noise * self.random.random())

    def round(self, k: int, goes_on: object) -> tuple[Round, float]:
        """A round of up to `k` drafted ids, and what it really takes."""
        confidences: list[float] = []
        while len(confidences) < k:
            confidences.append(self.confidence())
            if callable(goes_on) and not goes_on(confidences[-1]):
                break
        accepted = 0
        while accepted < len(confidences) and self.right:
            if self.random.random() > confidences[accepted] * (1 if accepted else self.first):
                break
            accepted += 1
        drafted = len(confidences)
        verify = 1 + self.wider * drafted + (self.wide if drafted >= self.cheap else 0)
        done = Round(
            tokens=[0] * (accepted + 1),
            accepted=accepted,
            drafted=drafted,
            drafted_accepted=accepted,
            candidates=drafted,
            width=drafted + 1,
            seconds={"draft": self.step * drafted, "verify": self.taken(verify)},
            confidences=confidences,
            draft_seconds=[self.taken(self.step) for _ in confidences],
        )
        return done, verify + self.step * drafted

    def speed(self, lookahead: "Auto | int", tokens: int) -> float:
        """Tokens a second over a text of so many tokens."""
        emitted, seconds = 0, 0.0
        if isinstance(lookahead, Auto):
            lookahead.start()
        while emitted < tokens:
            if isinstance(lookahead, Auto):
                done, taken = self.round(lookahead.next_k(), lookahead.goes_on())
                lookahead.update(done)
            else:
                done, taken = self.round(lookahead, None)
            emitted += len(done.tokens)
            seconds += taken
        return emitted / seconds


PAYS = [
    World(step=0.03),
    World(step=0.2),
    World(step=0.03, wide=0.7),
    World(step=0.03, wide=0.6, wider=0.03, cheap=3, sure=0.95),
    World(step=0.05, wide=0.6, wider=0.005, cheap=3, sure=0.9),
    World(step=0.03, sure=0.95),
    World(step=0.05, sure=0.95, first=0.5),
    World(step=0.05, wide=0.6, wider=0.02, cheap=3, sure=0.95, first=0.5),
    World(step=0.1, sure=0.3),
    World(step=0.03, noise=0.1),
]

NEVER_PAYS = [
    World(step=0.03, right=False),
    World(step=0.03, right=False, wide=0.8),
    World(step=1.0),
    World(step=0.5, sure=0.1),
    World(step=0.03, right=False, noise=0.1),
    World(step=0.6, sure=0.5, wide=0.7),
]


@pytest.mark.parametrize("world", PAYS, ids=repr)
def test_where_drafts_pay_it_is_near_the_best_fixed_length_or_better(world: World) -> None:
    best = max(world.speed(k, 4000) for k in range(1, LONGEST + 1))
    assert best > 1.1
    assert world.speed(Auto(), 4000) > 0.95 * best


@pytest.mark.parametrize("world", NEVER_PAYS, ids=repr)
def test_where_drafts_never_pay_it_is_nearly_plain(world: World) -> None:
    assert all(world.speed(k, 2000) < 1.0 for k in range(1, LONGEST + 1))
    autos = [Auto() for _ in range(20)]
    assert harmonic_mean([world.speed(auto, 200) for auto in autos]) > 0.93
    # On the next text it knows more.
    auto = autos[-1]
    assert world.speed(auto, 200) > 0.97
    # Drafting is tried again and again, for one part in a hundred of the time.
    assert world.speed(auto, 2000) > 0.98


def test_without_early_stops_a_length_is_chosen_beforehand() -> None:
    world = World(step=0.05)
    auto = Auto(stops_early=False)
    best = max(world.speed(k, 4000) for k in range(1, LONGEST + 1))
    assert auto.goes_on() is None
    assert world.speed(auto, 4000) > 0.85 * best


def together(world: World, lookahead: "Auto | int", rows: int, rounds: int) -> float:
    """Tokens a second of rows that share passes: a pass takes as long for one row as for all."""
    emitted, seconds = 0, 0.0
    auto = lookahead if isinstance(lookahead, Auto) else None
    if auto:
        auto.start()
    for _ in range(rounds):
        if auto:
            auto.share(rows)
        k = auto.next_k() if auto else int(lookahead)  # type: ignore[call-overload]
        each = [world.round(k, auto.goes_on() if auto else None)[0] for _ in range(rows)]
        longest = max(done.drafted for done in each)
        # How many rows take part in each draft pass, and so share its time.
        sharing = [sum(done.drafted > step for done in each) for step in range(longest)]
        verify = 1 + world.wider * longest
        for done in each:
            steps = [world.step / sharing[step] for step in range(done.drafted)]
            spent = {"draft": sum(steps), "verify": verify / rows}
            told = replace(done, draft_seconds=steps, seconds=spent, width=longest + 1)
            if auto:
                auto.update(told)
        emitted += sum(len(done.tokens) for done in each)
        seconds += world.step * longest + verify
    return emitted / seconds


@pytest.mark.parametrize("rows", [2, 8, 16])
@pytest.mark.parametrize("world", [World(step=0.2), World(step=0.15, sure=0.6)], ids=repr)
def test_rows_that_share_passes_do_not_wait_for_the_one_that_drafts_longest(
    world: World, rows: int
) -> None:
    world = replace(world, random=Random(0))  # the same numbers, whatever ran before
    best = max(together(world, k, rows, 600) for k in range(LONGEST + 1))
    auto = Auto()
    together(world, auto, rows, 100)
    assert together(world, auto, rows, 600) > 0.93 * best


def test_it_comes_back_when_drafts_become_right() -> None:
    world, auto = World(step=0.03, right=False), Auto()
    world.speed(auto, 400)
    world.right = True
    world.speed(auto, 400)
    assert world.speed(auto, 400) > 1.5


def test_it_gives_up_when_drafts_become_wrong() -> None:
    world, auto = World(step=0.2), Auto()
    assert world.speed(auto, 400) > 1.1
    world.right = False
    world.speed(auto, 50)
    assert world.speed(auto, 400) > 0.95


def test_a_wrong_impression_of_what_drafts_cost_passes() -> None:
    world, auto = World(step=5.0), Auto()
    world.speed(auto, 100)
    world.step = 0.03
    assert max(world.speed(auto, 100) for _ in range(10)) > 1.5


def test_a_plain_pass_is_timed_after_another() -> None:
    """Behind a wider one it takes longer, which would have drafts seem to pay."""
    auto = Auto()
    auto.start()
    width = 1
    for _ in range(1000):
        k = min(auto.next_k(), 4)
        seconds = 1.3 if k or width > 1 else 1.0
        width = 1 + k
        auto.update(
            Round(
                tokens=[0] * (2 if k else 1),
                accepted=min(k, 1),
                drafted=k,
                drafted_accepted=min(k, 1),
                candidates=k,
                width=width,
                seconds={"draft": 0.15 * k, "verify": seconds},
                confidences=[0.5] * k,
                draft_seconds=[0.15] * k,
            )
        )
    assert auto.costs.plain == 1.0


def captured() -> Auto:
    """As for an assistant on a GPU, where passes are captured graphs."""
    return Auto(Estimates(sets_up_apart=True), stops_early=False)


def good(emitted: int) -> float:
    return 0.8


def in_stretches(emitted: int) -> float:
    return 0.8 if emitted // 25 % 2 else 0.6


NOW_AND_THEN: dict[str, Any] = {"found": (0.3, 0.5, 0.5, 0.5, 0.5), "finds": 0.5}
GPUS: list[tuple[Callable[[int], float], dict[str, Any]]] = [
    (good, {}),
    (in_stretches, {}),
    (good, NOW_AND_THEN),
    (in_stretches, NOW_AND_THEN),
    (in_stretches, {"found": (0.9,) * 60, "finds": 0.05}),
]


@pytest.mark.parametrize(("right", "gpu"), GPUS)
def test_on_a_gpu_the_first_text_is_near_the_best_fixed_length(
    right: Callable[[int], float], gpu: dict[str, Any]
) -> None:
    def speed(new: Callable[[], Auto | Fixed]) -> float:
        return harmonic_mean(
            [
                SimulatedGPU(right, **gpu, random=Random(text)).speed(new(), 128)
                for text in range(100)
            ]
        )

    best = max(speed(lambda k=k: Fixed(k)) for k in range(1, 9))  # type: ignore[misc]
    assert speed(captured) > 0.93 * best


class All(Auto):
    """Reads all candidates, also those that only make a pass wider."""

    def fit(self, ids: int, looked_up: bool) -> int:
        return ids


@pytest.mark.parametrize(
    ("pair", "right", "more"),
    [
        (LARGE, 0.4, 0.99), (LARGE, 0.6, 1.0), (LARGE, 0.8, 1.02),
        (MIDDLE, 0.4, 0.99), (MIDDLE, 0.6, 1.0), (MIDDLE, 0.8, 0.99),
    ],
)  # fmt: skip
def test_candidates_that_do_not_pay_for_a_wider_pass_are_left_out(
    pair: Pair, right: float, more: float
) -> None:
    def speed(kind: type[Auto]) -> float:
        return harmonic_mean(
            [
                SimulatedGPU(lambda _: right, pair, sizes=(1, 2, 2, 3), random=Random(text)).speed(
                    kind(Estimates(sets_up_apart=True), stops_early=False), 1000
                )
                for text in range(20)
            ]
        )

    assert speed(Auto) / speed(All) > more


def beside_plain(gpu: SimulatedGPU, auto: Auto, texts: int) -> list[float]:
    """Speeds of texts of 128 tokens, as multiples of decoding them plainly."""
    plain = 1000 / (gpu.pair.passes[0] + HOST)
    return [gpu.speed(auto, 128) / plain for _ in range(texts)]


@pytest.mark.parametrize("right", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("cost", [0.8, 0.9, 1.0, 1.1, 1.3])
def test_an_assistant_about_as_slow_as_the_target_costs_nearly_nothing(
    cost: float, right: float
) -> None:
    gpu = SimulatedGPU(lambda _: right, slow_assistant(cost))
    speeds = beside_plain(gpu, captured(), 24)
    assert harmonic_mean(speeds[:4]) > 0.97
    assert harmonic_mean(speeds[1:]) > 0.985


@pytest.mark.parametrize("pair", [LARGE, MIDDLE])
def test_reading_prompts_for_an_assistant_that_is_always_wrong_costs_little(pair: Pair) -> None:
    speeds = beside_plain(SimulatedGPU(lambda _: 0.0, pair), captured(), 12)
    assert harmonic_mean(speeds[1:]) > 0.97
    assert min(speeds) > 0.92


class Resting(Auto):
    """Notes whether it drafted in the rounds of which it had said that it would not."""

    said, rested, broken = False, 0, 0

    def start(self) -> None:
        super().start()
        self.said = False

    def next_k(self) -> int:
        k = super().next_k()
        self.rested += self.said
        self.broken += self.said and k > 0
        self.said = self.rests
        return k


@pytest.mark.parametrize("finds", [0.0, 0.2])
@pytest.mark.parametrize("cost", [0.05, 0.8, 1.1])
@pytest.mark.parametrize("right", [0.0, 0.3])
def test_it_rests_where_it_says_so_and_seldom_without_saying_so(
    right: float, cost: float, finds: float
) -> None:
    """A pass of the target that began in vain would hold up the draft that comes instead."""
    gpu = SimulatedGPU(lambda _: right, slow_assistant(cost), found=(0.6, 0.5), finds=finds)
    auto = Resting(Estimates(sets_up_apart=True), stops_early=False)
    for _ in range(12):
        gpu.speed(auto, 128)
    assert not auto.broken
    if cost > 0.5 or not right:  # a cheap one that is right now and then nearly pays
        assert auto.rested > (100 if right else 800)


def test_an_assistant_that_was_wrong_in_many_texts_is_asked_again() -> None:
    gpu, auto = SimulatedGPU(lambda _: 0.0), captured()
    beside_plain(gpu, auto, 40)
    gpu.right = good
    assert max(beside_plain(gpu, auto, 8)) > 1.5


def test_an_assistant_that_was_bad_is_asked_again_though_lookups_always_find_something() -> None:
    gpu = SimulatedGPU(lambda _: 0.02, found=(0.35, 0.6, 0.6, 0.5, 0.5), finds=1.0)
    auto = captured()
    gpu.speed(auto, 200)
    gpu.right, before = good, gpu.asked
    gpu.speed(auto, 1000)
    assert gpu.asked - before > 50


@pytest.mark.parametrize("cold", [(300.0, 0.0), (300.0, 20.0), (300.0, 100.0)])
def test_what_the_first_draft_sets_up_does_not_keep_from_more(cold: tuple[float, float]) -> None:
    for text in range(20):
        gpu = SimulatedGPU(good, **NOW_AND_THEN, cold=cold, random=Random(text))
        auto = captured()
        gpu.speed(auto, 128)
        before = gpu.asked
        gpu.speed(auto, 128)
        assert gpu.asked - before > 20


def test_a_first_text_that_set_up_much_and_went_badly_does_not_keep_from_more() -> None:
    pair = replace(LARGE, read=0.85, eager_read=16.0, step=0.61)  # of 500 million parameters
    for text in range(20):
        gpu = SimulatedGPU(lambda _: 0.3, pair, cold=(700.0, 100.0), random=Random(text))
        auto = captured()
        gpu.speed(auto, 128)
        gpu.right, before = (lambda _: 0.8), gpu.asked
        for _ in range(12):
            gpu.speed(auto, 128)
        assert gpu.asked - before > 100


def test_text_that_repeats_is_looked_up_and_the_assistant_seldom_asked() -> None:
    gpu, auto = SimulatedGPU(good, found=(0.95,) * 30, finds=1.0), captured()
    gpu.speed(auto, 400)
    before = gpu.asked
    gpu.speed(auto, 2000)
    assert gpu.asked - before < 10
