"""The curves of a report count every id that was judged, once."""

from hypothesis import given
from hypothesis import strategies as st

from uag.report.curves import by_confidence, by_position, plain_seconds
from uag.stats import Round

rounds = st.builds(
    lambda drafted, right, spread, extra, confidences: Round(
        tokens=[0] * (min(drafted, right) * spread + 1),
        accepted=min(drafted, right) * spread,
        drafted=drafted,
        drafted_accepted=min(drafted, right),
        candidates=min(drafted, right) * spread + (extra if right < drafted else 0),
        seconds={"verify": 0.5},
        confidences=confidences[:drafted],
    ),
    drafted=st.integers(0, 6),
    right=st.integers(0, 6),
    spread=st.integers(1, 3),
    extra=st.integers(0, 3),
    confidences=st.lists(st.floats(0, 1), min_size=6, max_size=6),
)


@given(st.lists(rounds, max_size=8))
def test_the_curves_count_every_judged_id_once(history: list[Round]) -> None:
    seen = [
        (index, done.confidences[index], index < done.drafted_accepted)
        for done in history
        for index in range(done.drafted)
        if index < done.drafted_accepted
        or (index == done.drafted_accepted and done.accepted < done.candidates)
    ]
    assert len(seen) == sum(done.judged for done in history)
    places = by_position(history)
    assert [(rate.tried, rate.true) for rate in places] == [
        (
            sum(index == place for index, *_ in seen),
            sum(right for index, _, right in seen if index == place),
        )
        for place in range(len(places))
    ]
    assert sum(rate.tried for rate in places) == len(seen)
    bins = by_confidence(history)
    for number, rate in enumerate(bins):
        inside = [
            right
            for _, confidence, right in seen
            if min(int(confidence * 10), 9) == number
        ]  # fmt: skip
        assert (rate.tried, rate.true) == (len(inside), sum(inside))
    assert bool(bins) == bool(seen)
    plain = [0.5 for done in history[1:] if not done.drafted]
    assert plain_seconds(history) == (0.5 if plain else None)
