"""Earlier replies, in which drafts for later texts of the same owner are looked up."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

from uag.drafting.lookup import Lookup
from uag.errors import OptionError


class Replies:
    """The replies to each owner, within a budget of bytes for all; who was not served longest ago.

    >>> replies = Replies(Lookup(["Once upon a time"]), budget=1000)
    >>> replies.remember("Ann", "there was a frog.")
    >>> replies.of("Ann").texts, replies.of("Bob").texts
    (['Once upon a time', 'there was a frog.'], ['Once upon a time'])
    """

    def __init__(self, own: Lookup | None, budget: int) -> None:
        """Remember nothing yet.

        Args:
            own: the texts that every owner's drafts are looked up in; `None` if none are.
            budget: most bytes of replies; 0 remembers none.

        Raises:
            OptionError: for a budget below 0, or without lookups.
        """
        if budget < 0:
            raise OptionError(f"remember={budget}: it must be at least 0")
        if budget and own is None:
            raise OptionError("remember needs a decoder that looks up; build it with lookup=True")
        self._own = own
        self._budget = budget
        self._lookups: OrderedDict[str, Lookup] = OrderedDict()  # who was served last is last

    def of(self, owner: str) -> Lookup | None:
        """What drafts for an owner are looked up in; `None` for the decoder's own."""
        return self._lookups.get(owner, self._own if self._budget else None)

    def remember(self, owner: str, reply: str) -> None:
        """Add a reply; the oldest ones of the same owner, and then other owners, make room."""
        size = len(reply.encode(errors="replace"))
        if self._own is None or not 0 < size <= self._budget:
            return
        lookup = self._lookups.get(owner) or self._made(())
        if lookup.size + size > lookup.max_bytes:
            # The oldest texts of the lookup are everybody's: it is made again without old replies.
            lookup = self._made(lookup.texts[len(self._own.texts) :], self._budget - size)
        lookup.remember(reply)
        self._lookups[owner] = lookup
        self._lookups.move_to_end(owner)
        while self.bytes > self._budget:
            self._lookups.popitem(last=False)

    def _made(self, replies: Sequence[str], most: int = 0) -> Lookup:
        """A lookup in everybody's texts, and in the last replies, half of `most` bytes of them."""
        own = cast("Lookup", self._own)
        left, kept = most // 2, list[str]()
        for reply in reversed(replies):
            if (left := left - len(reply.encode())) < 0:
                break
            kept.insert(0, reply)
        room = own.size + self._budget
        return Lookup([*own.texts, *kept], min_match=own.min_match, max_bytes=room)

    @property
    def bytes(self) -> int:
        """Bytes of the replies."""
        own = self._own.size if self._own else 0
        return sum(max(0, lookup.size - own) for lookup in self._lookups.values())
