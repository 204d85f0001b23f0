"""KV caches of ended texts, from which later texts that begin alike go on: prefix caching."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock

from uag.models.caches.protocol import Keepable

# Taking over fewer ids than this costs more than reading them with those after them.
LEAST_SHARED = 32


def common_length(one: Sequence[int], other: Sequence[int], most: int) -> int:
    """How many ids two sequences have in common at their beginnings, `most` at the most.

    By bisection: slices are compared faster than ids one by one.

    >>> common_length([5, 6, 7, 8], [5, 6, 9], 9), common_length([5, 6], [5, 6, 7], 1)
    (2, 1)
    """
    low, high = 0, min(len(one), len(other), most)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, slots=True)
class _Kept:
    ids: list[int]
    cache: Keepable


class KeptCaches:
    """Caches of ended texts within a budget of bytes; the least recently used go first.

    A cache belongs to one text at a time: who takes it goes on in it. So one of which the new text
    shares less than half stays for a text that shares more. Threads may share it.

    Attributes:
        budget: most bytes; 0 keeps nothing.
    """

    def __init__(self, budget: int = 0) -> None:
        """Keep nothing yet."""
        self.budget = budget
        self._kept: list[_Kept] = []  # the least recently used first
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """The memory of the caches that are kept."""
        return sum(each.cache.held_bytes() for each in self._kept)

    def take(self, owner: Hashable, ids: Sequence[int]) -> Keepable | None:
        """The cache with the longest beginning of `ids`, without its last one, rolled back to that.

        `None` if none has enough of it, or only those of other owners.
        """
        with self._lock:
            found = [
                (common_length(ids, kept.ids, len(ids) - 1), kept)
                for kept in self._kept
                if kept.cache.owner == owner
            ]
            length, kept = max(found, key=lambda each: each[0], default=(0, None))
            if kept is None or length < max(LEAST_SHARED, len(kept.ids) / 2):
                return None
            self._kept.remove(kept)
        kept.cache.roll_back(length)
        kept.cache.taken_over = kept.cache.length
        return kept.cache

    def put(self, cache: Keepable) -> None:
        """Keep the cache of a text that has ended, for its owner's later ones."""
        length = min(cache.length, len(cache.text))
        if length < LEAST_SHARED or cache.held_bytes() > self.budget:
            return
        cache.roll_back(length)
        with self._lock:
            self._kept.append(_Kept(cache.text[:length], cache))
        self.shrink(self.budget)

    def shrink(self, most: int) -> None:
        """Forget what was not used for the longest time, until `most` bytes are in use."""
        with self._lock:
            while self._kept and self.bytes > most:
                del self._kept[0]
