"""The rows of an engine, found again by what they say."""

from collections.abc import Sequence

from uag.proposing.row import Ids, Row

# How many rows are remembered that were not given in the last call.
MOST_IDLE = 128


class Rows:
    """Rows of the last call, in its order, and then those of earlier ones, the latest first."""

    def __init__(self) -> None:
        self._known: list[Row] = []

    def found(self, texts: Sequence[Ids]) -> list[Row | None]:
        """For each text the row that it goes on from, each row at most once.

        That at the same place as in the last call, if it is one; else the longest.
        """
        free = dict.fromkeys(self._known)
        found: list[Row | None] = [None] * len(texts)
        for index, (text, row) in enumerate(zip(texts, self._known, strict=False)):
            if row.begins(text):
                found[index] = row
                del free[row]
        for index, text in enumerate(texts):
            if found[index] is None:
                fitting = (row for row in free if row.begins(text))
                found[index] = row = max(fitting, key=lambda row: len(row.ids), default=None)
                free.pop(row, None) if row else None
        return found

    def keep(self, rows: Sequence[Row]) -> list[Row]:
        """Remember these as the last call's; returns the others."""
        given = set(rows)
        idle = [row for row in self._known if row not in given]
        self._known = [*rows, *idle[:MOST_IDLE]]
        return idle
