"""Pairs of end tokens: ids that end a text, or a turn of a chat, in two vocabularies."""


def end_pairs(
    target_ends: list[int],
    assistant_ends: list[int],
    target_turn: int | None = None,
    assistant_turn: int | None = None,
) -> list[tuple[int, int]]:
    """Pair every id that ends a text or a turn with one of the other side, main ids first.

    The two ids that end a turn are paired with each other. A side without one uses its main end
    (the first of its ends) in that pair. The other ends are paired in order; a side that has fewer
    uses its main end again.

    Args:
        target_ends: ids that end the target's text, the main one first.
        assistant_ends: ids that end the assistant's text, the main one first.
        target_turn: the id that ends a turn in the target's chat template.
        assistant_turn: the same for the assistant.

    >>> end_pairs([1, 2], [5])
    [(1, 5), (2, 5)]
    >>> end_pairs([1, 9], [5, 8], 9, 8)
    [(9, 8), (1, 5)]
    >>> end_pairs([1], [5], target_turn=9)
    [(9, 5), (1, 5)]
    """
    pairs: list[tuple[int, int]] = []
    if target_turn is not None or assistant_turn is not None:
        turn = _turn(target_turn, target_ends), _turn(assistant_turn, assistant_ends)
        if turn[0] is not None and turn[1] is not None:
            pairs.append((turn[0], turn[1]))
        target_ends = [id for id in target_ends if id != target_turn] or target_ends
        assistant_ends = [id for id in assistant_ends if id != assistant_turn] or assistant_ends
    if not target_ends or not assistant_ends:
        return pairs
    for index in range(max(len(target_ends), len(assistant_ends))):
        pair = _at(target_ends, index), _at(assistant_ends, index)
        if pair not in pairs:
            pairs.append(pair)
    return pairs


def _turn(own: int | None, ends: list[int]) -> int | None:
    return own if own is not None or not ends else ends[0]


def _at(ends: list[int], index: int) -> int:
    return ends[index] if index < len(ends) else ends[0]
