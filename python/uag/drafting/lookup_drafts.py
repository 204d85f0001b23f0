"""Drafts by lookup in texts, alone or beside an assistant model."""

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
# Ids to look up first. If nothing repeats, these few almost always show that a match is unlikely to
# be accepted.
NEAR = 4
# Prior: a match of this many bytes is right half of the time.
EVEN_MATCH = 8


class LookupJudge(Protocol):
    """Decides when to look up, and how much of what was found to draft.

    Attributes:
        longest: the most ids of a looked-up draft; `None` for the `k` of the lookahead.
    """

    @property
    def longest(self) -> int | None: ...

    def looks_up(self) -> bool:
        """Whether to look up in this round."""
        ...

    def reach(self, chances: Iterable[float]) -> list[float]:
        """Choose how many of the looked-up ids to draft.

        `chances` has for each looked-up id the chance that it is accepted if those before it are.
        Returns the chances of the first ids, those worth drafting.
        """
        ...

    def prefers(self, chances: list[float]) -> bool:
        """Whether to draft looked-up ids of these chances instead of asking the assistant."""
        ...


@dataclass(frozen=True, slots=True)
class DraftsAllFound:
    """The `LookupJudge` for a user's own schedule: look up in every round, draft all that is found.

    Only the choice between a looked-up draft and the assistant's is left to `auto`.

    >>> from uag.lookahead.auto import Auto
    >>> DraftsAllFound(Auto()).reach(iter([0.9, 0.1]))
    [0.9, 0.1]
    """

    auto: LookupJudge
    longest: int | None = None

    def looks_up(self) -> bool:
        return True

    def reach(self, chances: Iterable[float]) -> list[float]:
        return list(chances)

    def prefers(self, chances: list[float]) -> bool:
        return self.auto.prefers(chances)


class LookupDrafts(DraftSource):
    """Drafts what followed earlier occurrences of the text's end, in itself or in other texts.

    Attributes:
        expects: whether the last lookup found something that is worth drafting: then the next one
            is worth a wait.
    """

    def __init__(
        self,
        search: Search,
        min_match: int,
        tokenizer: Tokenizer,
        translation: Translation,
        judge: LookupJudge,
    ) -> None:
        """Begin a generation.

        Args:
            search: an empty search in the texts.
            min_match: how many bytes must match.
            tokenizer: the target's.
            translation: holds the generation so far.
            judge: decides about lookups.
        """
        self._search = search
        self._min_match = min_match
        self._tokenizer = tokenizer
        self._translation = translation
        self._judge = judge
        self.expects = False
        self._found: Draft | None = None  # before it was asked for
        self._quiet = False  # whether the next draft will be empty, as was said

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        """Looked-up text that becomes up to `k` target ids."""
        del goes_on  # the chances of all ids are known at once
        found, self._found = self._found, None
        quiet, self._quiet = self._quiet, False
        if quiet:
            return Draft()
        return self._draft(k) if found is None else found

    def quiet(self, *, asked: bool) -> bool:
        """See `DraftSource`: the device need not wait for a lookup that most likely finds nothing.

        What it does find is drafted one round later.
        """
        del asked
        self._quiet = self._judge.longest is not None and not self.expects
        return self._quiet

    def begin(self, k: int) -> bool:
        if self._judge.longest is None:  # it depends on how many are asked for
            return True
        self._found = self._draft(k)
        return self.expects and not self._quiet

    def _draft(self, k: int) -> Draft:
        self.expects = False
        if not self._judge.looks_up():
            return Draft()
        self._search.follow(self._translation)
        k = k if self._judge.longest is None else self._judge.longest
        ends: list[int] = []
        chosen = self._judge.reach(self._chances(k, ends))
        if not chosen:
            return Draft(searched=True)
        self.expects = True
        text = self._search.find(ends[len(chosen) - 1], self._min_match).data
        return Draft(text=text, confidences=chosen, searched=True)

    def apply(self, keep: int, feed: list[int]) -> None:
        """The next draft reads from the translation what was emitted."""
        del keep, feed
        self._found = None

    def _chances(self, k: int, ends: list[int]) -> Iterator[float]:
        """Look up, and yield for each of up to `k` ids its chance if those before it are accepted.

        Where each id ends in the looked-up bytes is appended to `ends`. The chance is the share of
        the matching places that agree on the id, lowered for short matches.
        """
        for wanted in sorted({min(NEAR, k), k}):
            found = self._search.find(BYTES_PER_ID * wanted, self._min_match)
            # One more than wanted, since the last may be dropped.
            ids = self._translation.propose([], found.data).ids[: wanted + 1]
            known = [*accumulate(len(self._tokenizer.token_bytes(id) or b"") for id in ids)]
            # The byte limit may cut the last token short, so it is dropped. But the only token of
            # the longest lookup is kept.
            if found.limited and len(known) > (wanted == k):
                del known[-1]
            # The second lookup begins like the first: yield only what comes after it.
            seen = ends[-1] if ends else 0
            further = [end for end in known if end > seen][: wanted - len(ends)]
            shares, matched = found.shares, found.matched
            for start, end in pairwise([seen, *further]):
                ends.append(end)
                context = matched + start
                yield prod(shares[start:end]) * context / (context + EVEN_MATCH)
            if not found.limited:
                return


class LookupOrModel(DraftSource):
    """Looks up, or lets the assistant draft: in each round the one that promises more tokens."""

    def __init__(self, assistant: DraftSource, texts: LookupDrafts, judge: LookupJudge) -> None:
        """`judge` chooses: it sees what was looked up, before the assistant drafts."""
        self._assistant = assistant
        self._texts = texts
        self._judge = judge

    def draft(self, k: int, goes_on: GoesOn | None = None) -> Draft:
        found = self._texts.draft(k)
        if found.text:
            if self._judge.prefers(found.confidences):
                return found
            self._texts.expects = False
        draft = self._assistant.draft(k, goes_on)
        return replace(draft, searched=True) if found.searched else draft

    def apply(self, keep: int, feed: list[int]) -> None:
        self._assistant.apply(keep, feed)
        self._texts.apply(keep, feed)

    def quiet(self, *, asked: bool) -> bool:
        return self._assistant.quiet(asked=asked) and self._texts.quiet(asked=asked)

    def begin(self, k: int) -> bool:
        if self._texts.expects:  # if text is found again, the assistant may not draft
            return self._texts.begin(k) or self._assistant.begin(k)
        begun = self._assistant.begin(k)
        return self._texts.begin(k) or begun
