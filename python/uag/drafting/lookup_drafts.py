"""Drafting from texts, alone and beside an assistant model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import prod
from typing import Protocol

from uag._core import Search, Tokenizer, Translation
from uag.draft import Draft, GoesOn
from uag.drafting.source import DraftSource

# Bytes to look up for each target id wanted: few tokens are longer.
BYTES_PER_ID = 8
# Ids to look up first: where nothing repeats, these few almost always show that it is unlikely.
NEAR = 4
# Where nothing else is known, a match of this many bytes is right half of the time.
EVEN_MATCH = 8


class LookupJudge(Protocol):
    """Decides about lookups.

    Attributes:
        longest: most ids of a draft; `None` for what each draft is asked for.
    """

    @property
    def longest(self) -> int | None: ...

    def looks_up(self) -> bool:
        """Whether to look up in this round."""
        ...

    def reach(self, chances: Iterable[float]) -> list[float]:
        """The conditional acceptance of each looked-up id -> that of those worth drafting."""
        ...

    def prefers(self, chances: list[float]) -> bool:
        """Whether to draft looked-up ids of these chances rather than ask the assistant."""
        ...


@dataclass(frozen=True, slots=True)
class DraftsAllFound:
    """Lookups under a schedule of the user's: each round looks up and drafts all that it finds.

    Which of two drafts promises more is still for `auto` to say.
    """

    auto: LookupJudge
    longest: int | None = None

    def looks_up(self) -> bool:
        return True

    def reach(self, chances: Iterable[float]) -> list[float]:
        return list(chances)

    def prefers(self, chances: list[float]) -> bool:
        return self.auto.prefers(chances)


class LookupDrafts:
    """Drafts what followed where the end of the text stood before, in itself or in others."""

    def __init__(
        self,
        search: Search,
        min_match: int,
        tokenizer: Tokenizer,
        translation: Translation,
        judge: LookupJudge,
    ) -> None:
        """`translation` holds the text, `tokenizer` is the target's, `search` has read nothing."""
        self._search = search
        self._min_match = min_match
        self._tokenizer = tokenizer
        self._translation = translation
        self._judge = judge

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """Text that becomes up to `k` ids of the target's."""
        del goes_on  # the chances of all are known at once
        if not self._judge.looks_up():
            return Draft()
        self._search.follow(self._translation)
        k = k if self._judge.longest is None else self._judge.longest
        ends: list[int] = []
        chosen = self._judge.reach(self._chances(k, ends))
        if not chosen:
            return Draft(searched=True)
        text = self._search.find(ends[len(chosen) - 1], self._min_match).data
        return Draft(text=text, confidences=chosen, searched=True)

    def apply(self, keep: int, feed: list[int]) -> None:
        """Nothing: the text is read off the translation."""

    def _chances(self, k: int, ends: list[int]) -> Iterator[float]:
        """The chance of each of up to `k` ids, if those before it are right; `ends` gets its end.

        That is how many of the places agree on it, and less where little matched.
        """
        for wanted in sorted({min(NEAR, k), k}):
            found = self._search.find(BYTES_PER_ID * wanted, self._min_match)
            # One more than wanted, as the last may be dropped.
            ids = self._translation.propose([], found.data).ids[: wanted + 1]
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


class LookupOrModel:
    """An assistant and texts: each draft is of the one that promises more."""

    def __init__(self, assistant: DraftSource, texts: LookupDrafts, judge: LookupJudge) -> None:
        """`judge` decides about what was looked up, before the assistant is asked."""
        self._assistant = assistant
        self._texts = texts
        self._judge = judge

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        found = self._texts.draft(k)
        if found.text and self._judge.prefers(found.confidences):
            return found
        draft = self._assistant.draft(k, goes_on)
        return replace(draft, searched=True) if found.searched else draft

    def apply(self, keep: int, feed: list[int]) -> None:
        self._assistant.apply(keep, feed)
