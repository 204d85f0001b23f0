"""How much memory the KV caches may take, and whether another text fits into it."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from uag.batching.rows import room_for

# The share of what is free that KV caches get by default, and the share of that for ended texts.
OF_FREE, OF_ENDED = 0.6, 0.25
# The kernel's estimate of what can be used without swapping.
MEMINFO = Path("/proc/meminfo")


def free_bytes(device: torch.device) -> int:
    """The memory that is free on a device, in bytes: an estimate.

    >>> free_bytes(torch.device("cpu")) > 0
    True
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with suppress(OSError, StopIteration, ValueError):
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def slots_of(rows: int, longest: int) -> int:
    """How many slots so many texts of up to so many ids take where passes run eagerly."""
    return rows * room_for(longest)


@dataclass(slots=True)
class CacheMemory:
    """Admits texts while the KV caches of both models stay within a budget.

    The rows of a batch are as long as the longest text in it, so a text is counted with what it
    may grow to, and with what it makes the others grow to.

    >>> memory = CacheMemory(budget=1_000_000, id_bytes={"target": 1000}, of_ended=0.25)
    >>> memory.fits(500), memory.fits(800)
    (True, False)
    >>> memory.admits(200, rows=1), memory.admits(200, rows=2)
    (True, False)

    Attributes:
        budget: bytes for all caches.
        id_bytes: what an id takes in the cache of each model, by role.
        of_ended: the share of the budget for states of ended texts.
        slots_for: how many slots so many texts of up to so many ids take.
        longest: the longest text since there was none under way.
    """

    budget: int
    id_bytes: Mapping[str, int]
    of_ended: float = OF_ENDED
    slots_for: Callable[[int, int], int] = slots_of
    longest: int = field(default=0)

    def fits(self, length: int) -> bool:
        """Whether a text of up to `length` ids fits if it is alone."""
        return self.slots_for(1, length) <= self.most_slots

    def admits(self, length: int, rows: int) -> bool:
        """Whether a text of up to `length` ids may join `rows` others; if so, it is counted."""
        longest = max(length, self.longest if rows else 0)
        if self.slots_for(rows + 1, longest) > self.most_slots:
            return False
        self.longest = longest
        return True

    def for_ended(self) -> dict[str, int]:
        """The bytes for states of ended texts, by role."""
        return {
            role: round(self.budget * self.of_ended * bytes / self._of_an_id)
            for role, bytes in self.id_bytes.items()
        }

    @property
    def most_slots(self) -> int:
        """How many slots the texts under way may take, all together."""
        return int(self.budget * (1 - self.of_ended) / self._of_an_id)

    @property
    def _of_an_id(self) -> int:
        return max(1, sum(self.id_bytes.values()))
