"""Text on its way to a terminal."""

from uag.cli.terminal import printable


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert printable("a\x1b[2J\tb\n\x07\x9b") == "a\ufffd[2J\tb\n\ufffd\ufffd"
