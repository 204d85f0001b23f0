"""A text is cut at its first stop string, however it comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from uag.serving.protocol.stop_text import StopText

TEXTS = st.text("ab.", max_size=20)


def slowly(text: str, strings: list[str], *, keep: bool) -> tuple[str, str | None]:
    """The text before the string that is complete first, character by character."""
    for end in range(len(text) + 1):
        found = [each for each in strings if text[:end].endswith(each)]
        if found:
            longest = max(found, key=len)
            return text[: end if keep else end - len(longest)], longest
    return text, None


@given(st.lists(TEXTS, max_size=6), st.lists(st.text("ab.", min_size=1, max_size=4), max_size=4),
       st.booleans())  # fmt: skip
def test_any_pieces_are_cut_as_the_whole_text(
    pieces: list[str], strings: list[str], keep: bool
) -> None:
    stop = StopText(strings, keep=keep)
    given = "".join(map(stop.add, pieces)) + stop.end()
    assert (given, stop.found) == slowly("".join(pieces), strings, keep=keep)


@given(TEXTS, st.text("ab.", min_size=1, max_size=4))
def test_nothing_is_held_back_that_begins_no_stop_string(text: str, string: str) -> None:
    stop = StopText([string])
    given = stop.add(text)
    if stop.found is None:
        assert string.startswith(text[len(given) :]) and len(text) - len(given) < len(string)
