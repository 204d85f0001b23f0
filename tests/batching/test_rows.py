"""Where a pass reads and writes is what going through the ids of each row one by one gives."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from uag.batching.rows import Place, RowBuffers, laid_out

SIZE = 50
LAYOUTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=5)


@given(LAYOUTS, st.randoms())
def test_each_id_has_its_position_its_slot_and_its_number(
    rows: list[tuple[int, int]], random: object
) -> None:
    order = [*range(len(rows))]
    random.shuffle(order)  # type: ignore[attr-defined]
    places = [Place(row, *each) for row, each in zip(order, rows, strict=True)]
    width = max(1, *(place.count for place in places))
    positions, slots, numbers = laid_out(places, width, SIZE).view(3, len(rows), width).tolist()
    number = 0
    for row, place in enumerate(places):
        padding = width - place.count
        spare = place.row * SIZE + SIZE - 1
        assert positions[row][:padding] == numbers[row][:padding] == [0] * padding
        assert slots[row][:padding] == [spare] * padding
        for column in range(padding, width):
            position = place.length + column - padding
            assert positions[row][column] == position
            assert slots[row][column] == place.row * SIZE + position
            assert numbers[row][column] == number
            number += 1


SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 6))


@given(st.lists(SHAPES, min_size=2, max_size=5))
def test_what_has_a_place_in_other_buffers_is_kept(shapes: list[tuple[int, int]]) -> None:
    buffers = RowBuffers(1)
    (rows, size), *others = shapes
    buffers.make_room(rows, size)
    held = torch.arange(1.0, 1 + rows * size).view(rows, size)
    for row in range(rows):
        states = held[row, : size - 1, None, None]
        buffers.put(row, [(states, -states)])
    for other in others:
        buffers.make_room(*other)
        rows, size = min(rows, other[0]), min(size, other[1])
    for row in range(rows):
        ((keys, values),) = buffers.states(row, size - 1)
        assert torch.equal(keys.flatten(), held[row, : size - 1])
        assert torch.equal(values, -keys)
    buffers.wipe(0)
    assert not buffers.states(0, size)[0][0].any()
