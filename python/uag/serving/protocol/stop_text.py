"""Text up to a stop string: what may begin one is held back until that is known."""

from collections.abc import Sequence


class StopText:
    """Lets text pass up to the first of some strings.

    transformers keeps the string that ended a text. OpenAI's clients expect a text without it.

    >>> stop = StopText(["END", "."])
    >>> [stop.add(piece) for piece in ("one E", "NE", "N", "D two.")]
    ['one ', 'EN', '', '']
    >>> stop.found, stop.end()
    ('END', '')

    Args:
        strings: where to stop.
        keep: whether the string itself passes as well.

    Attributes:
        found: the string that was met; `None` while there is none.
    """

    def __init__(self, strings: Sequence[str], *, keep: bool = False) -> None:
        self.found: str | None = None
        self._strings = strings
        self._keep = keep
        self._held = ""

    def add(self, text: str) -> str:
        """What of the text so far is certain to come before a stop string."""
        if self.found is not None:
            return ""
        held = self._held + text
        places = [(at, each) for each in self._strings if (at := held.find(each)) >= 0]
        if places:
            # Of two at one place the shorter one is complete first.
            at, self.found = min(places, key=lambda place: (place[0] + len(place[1]), place[0]))
            self._held = ""
            return held[: at + len(self.found)] if self._keep else held[:at]
        free = len(held) - max((_begun(held, each) for each in self._strings), default=0)
        self._held = held[free:]
        return held[:free]

    def end(self) -> str:
        """What was held back of a text that has ended."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, string: str) -> int:
    """How many characters at the end of a text may begin a string.

    >>> _begun("one EN", "END")
    2
    """
    longest = min(len(text), len(string) - 1)
    return next((size for size in range(longest, 0, -1) if string.startswith(text[-size:])), 0)
