"""Drafting from texts, alone and beside an assistant model."""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from math import prod

from uag._core import Search, Sequence, Tokenizer
from uag.draft import Draft, GoesOn
from uag.drafting.source import Drafter

# Bytes to look up for each target id wanted: few tokens are longer.
BYTES_PER_ID = 8
# Ids to look up before all: where nothing repeats, as good as always, they are seen to be unlikely.
NEAR = 4
# A match of so many bytes is right as often as wrong, where nothing else is known.
EVEN_MATCH = 8

# Of the chances of the ids found, of each if those before it are right: those of the ones to draft.
Reach = Callable[[Iterable[float]], list[float]]
# Whether to draft ids of such chances rather than ask the assistant.
Prefers = Callable[[list[float]], bool]


class LookupDrafter:
    """Drafts what followed where the end of the text stood before, in itself or in others."""

    def __init__(
        self,
        search: Search,
        min_match: int,
        tokenizer: Tokenizer,
        sequence: Sequence,
        longest: int | None = None,
        reach: Reach = list,
    ) -> None:
        """`sequence` holds the text, `tokenizer` is the target's, `search` has read nothing.

        `longest` takes the place of what each draft is asked for.
        """
        self._search = search
        self._min_match = min_match
        self._tokenizer = tokenizer
        self._sequence = sequence
        self._longest = longest
        self._reach = reach

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """Text that becomes up to `k` ids of the target's."""
        del goes_on  # the chances of all are known at once
        self._search.follow(self._sequence)
        k = k if self._longest is None else self._longest
        ends: list[int] = []
        chosen = self._reach(self._chances(k, ends))
        if not chosen:
            return Draft()
        text = self._search.find(ends[len(chosen) - 1], self._min_match).data
        return Draft(text=text, confidences=chosen)

    def apply(self, keep: int, feed: list[int]) -> None:
        """Nothing: the text is read off the sequence."""

    def _chances(self, k: int, ends: list[int]) -> Iterator[float]:
        """The chance of each of up to `k` ids, if those before it are right; `ends` hears its end.

        That is how many of the places agree on it, and less where little matched.
        """
        for wanted in sorted({min(NEAR, k), k}):
            found = self._search.find(BYTES_PER_ID * wanted, self._min_match)
            # One more than wanted, as the last may be dropped.
            ids = self._sequence.propose([], found.data).ids[: wanted + 1]
            known = [*accumulate(len(self._tokenizer.token_bytes(id) or b"") for id in ids)]
            # A limit may be in the midst of a token; but of a whole draft something must be left.
            if found.limited and len(known) > (wanted == k):
                del known[-1]
            seen = ends[-1] if ends else 0
            further = [end for end in known if end > seen][: wanted - len(ends)]
            shares, matched = found.shares, found.matched
            for start, end in pairwise([seen, *further]):
                ends.append(end)
                context = matched + start
                yield prod(shares[start:end]) * context / (context + EVEN_MATCH)
            if not found.limited:
                return


class TextsFirst:
    """An assistant model and texts: each draft is of the one that promises more."""

    def __init__(self, assistant: Drafter, texts: LookupDrafter, prefers: Prefers) -> None:
        """`prefers` judges what was looked up, before the assistant is asked."""
        self._assistant = assistant
        self._texts = texts
        self._prefers = prefers

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        found = self._texts.draft(k)
        if found.text and self._prefers(found.confidences):
            return found
        return self._assistant.draft(k, goes_on)

    def apply(self, keep: int, feed: list[int]) -> None:
        self._assistant.apply(keep, feed)
