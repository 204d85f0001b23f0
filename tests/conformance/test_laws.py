"""A text in which a law is broken is made short."""

from uag.conformance.laws import shrink


def test_shrinking_leaves_what_is_needed() -> None:
    text = "a" * 1000 + "<" + "b" * 500 + ">" + "c" * 77
    assert shrink(text, lambda text: "<" in text and ">" in text) == "<>"
    assert shrink("abc", lambda _: True) == ""
    assert shrink("abc", lambda text: len(text) == 3) == "abc"
