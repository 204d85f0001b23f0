"""The states of ended texts: the longest common beginning, and the least recently used go first."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from uag.batching.prefixes import Prefixes, States, common_length

IDS = st.lists(st.integers(0, 1), max_size=6)


def states(ids: list[int]) -> States:
    """Of one layer, 8 bytes an id: the id and its place, so that a mistake is seen."""
    values = torch.tensor([[[float(id)]] for id in ids]).reshape(-1, 1, 1)
    places = torch.arange(len(ids), dtype=torch.float32).reshape(-1, 1, 1)
    return [(values, places), ()]


@given(IDS, IDS, st.integers(0, 7))
def test_the_common_length_is_that_of_counting(one: list[int], other: list[int], most: int) -> None:
    counted = 0
    while counted < min(len(one), len(other), most) and one[counted] == other[counted]:
        counted += 1
    assert common_length(one, other, most) == counted


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b"]), IDS), max_size=20),
    st.integers(0, 100),
    st.integers(1, 3),
)
def test_it_keeps_what_a_list_in_the_order_of_use_keeps(
    steps: list[tuple[bool, str, list[int]]], budget: int, least: int
) -> None:
    prefixes, kept = Prefixes(budget, least), list[tuple[str, list[int]]]()
    for adds, owner, ids in steps:
        if adds:
            prefixes.add(owner, ids, states(ids))
            if least <= len(ids) and 8 * len(ids) <= budget:
                kept = [each for each in kept if (each[0], each[1]) != (owner, ids[: len(each[1])])]
                kept.append((owner, ids))
            while sum(8 * len(each) for _, each in kept) > budget:
                del kept[0]
            continue
        lengths = [common_length(ids, each, 5) if of == owner else 0 for of, each in kept]
        length, found = prefixes.longest(owner, ids, 5)
        longest = max(lengths, default=0)
        assert length == (longest if longest >= least else 0)
        if length:
            kept.append(kept.pop(lengths.index(length)))
            assert found[0][0].flatten().tolist() == ids[:length]
            assert found[0][1].flatten().tolist() == list(range(length))
    assert prefixes.bytes == sum(8 * len(each) for _, each in kept) <= budget
