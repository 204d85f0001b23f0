"""One sequence of another engine: both vocabularies, the assistant's drafts, what was accepted."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from uag._core import Proposal
from uag.decoding.candidates import Chain
from uag.draft import Draft
from uag.drafting.fallback import FaultPolicy, described
from uag.drafting.lookup_drafts import DraftsAllFound, LookupJudge
from uag.drafting.sides import DraftSide, Opening
from uag.drafting.source import DraftSource, NoDrafts
from uag.lookahead.schedules import Schedule
from uag.models.caches.protocol import ModelCache
from uag.proposing.caches import Caches
from uag.proposing.pays import Acceptance, WhatPays
from uag.sampling.greedy import most_likely_draft
from uag.stats import Round
from uag.translation.bridge import Bridge
from uag.translation.within_rows import WithinRows

if TYPE_CHECKING:
    from uag.lookahead.protocol import Lookahead
    from uag.translation.protocol import Translator

T = TypeVar("T")
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows of a proposer have in common.

    Attributes:
        bridge: the two tokenizers.
        side: what drafts.
        caches: the assistant's.
        schedule: makes the lookahead of a row.
        acceptance: what was accepted of all rows.
        cost: what drafting an id costs, in passes of the target.
        vocabulary: how many ids the target has; `None` for those of its tokenizer.
        faults: what happens to errors.
    """

    bridge: Bridge
    side: DraftSide
    caches: Caches
    schedule: Schedule
    acceptance: Acceptance
    cost: float
    vocabulary: int | None
    faults: FaultPolicy


class Row:
    """One sequence, which grows by what the engine emits. After an error it proposes nothing.

    Attributes:
        ids: the target ids so far.
        length: how many ids they are for the assistant.
        cache: the assistant's; `None` without an assistant model.
        candidates: what was proposed to follow `ids`; `None` before that.
    """

    def __init__(self, ids: Ids, setting: Setting) -> None:
        """Begin a sequence of target ids."""
        self.ids = ids
        self.length = 0
        self.cache: ModelCache | None = None
        self.candidates: list[int] | None = None
        self._setting = setting
        self._room = 0  # how many candidates were asked for
        self._pays = pays = WhatPays(setting.acceptance, setting.cost)
        automatic = setting.schedule.automatic
        self._lookahead: Lookahead = pays if automatic else setting.schedule.new()
        self._judge: LookupJudge = pays if automatic else DraftsAllFound(pays)
        self._translator: Translator | None = None  # before it has begun, and after an error
        self._source: DraftSource = NoDrafts()
        self._draft, self._proposal = Draft(), Proposal([], [])
        self._guarded("translation", self._begin, None)

    @property
    def waits(self) -> bool:
        """Whether it can draft, and has not."""
        return self._translator is not None and self.candidates is None

    def begins(self, ids: Ids) -> bool:
        """Whether `ids` are those of this sequence, with or without more after them."""
        known = len(self.ids)
        if not known or known > len(ids) or self.ids[-1] != ids[known - 1]:
            return not known
        return np.array_equal(self.ids, ids[:known])

    def follow(self, ids: Ids, room: int) -> int:
        """Go on to `ids`, which begin with those so far; how many of the candidates were right.

        Where nothing was emitted, candidates stay, unless another number is wanted: `room`.
        """
        emitted: list[int] = ids[len(self.ids) :].tolist()
        self.ids = ids
        if not emitted and room == self._room:
            return 0
        return self._guarded("translation", lambda: self._commit(emitted), 0)

    def propose(self, room: int) -> None:
        """Draft up to `room` candidates; within a task, as it may wait for a pass."""
        self._guarded("drafting", lambda: self._propose(room), None)

    def release(self) -> None:
        """Give the cache's memory back; what the assistant read is read again when needed."""
        if self.cache is not None:
            self._setting.caches.release(self.cache)

    def _begin(self) -> None:
        setting = self._setting
        translation = setting.bridge.begin(self.ids.tolist())
        prompt = translation.assistant_ids
        self.length = len(prompt)

        def new_cache(_: list[int]) -> ModelCache:
            self.cache = setting.caches.new()
            return self.cache

        opening = Opening(
            prompt, most_likely_draft, translation, setting.bridge, new_cache, self._judge
        )
        self._source = setting.side.source(opening)
        rows = setting.vocabulary
        self._translator = translation if rows is None else WithinRows(translation, rows)
        self._lookahead.start()

    def _commit(self, emitted: list[int]) -> int:
        if self._translator is None:
            return 0
        edit = self._translator.commit(emitted)
        self._source.apply(edit.keep, edit.feed)
        self.length = edit.keep + len(edit.feed)
        accepted = self._learn(emitted) if emitted else 0
        self.candidates = None
        self._room = 0
        self._draft, self._proposal = Draft(), Proposal([], [])
        return accepted

    def _propose(self, room: int) -> None:
        if self._translator is None:
            return
        ids_per_token = self.length / max(1, len(self.ids))
        self._pays.see(room, ids_per_token)
        k = min(self._lookahead.next_k(), ceil(room * ids_per_token))
        draft = self._source.draft(k, self._lookahead.goes_on())
        self._proposal = self._translator.propose(draft.ids, draft.text)
        self._draft = draft
        self.candidates = self._proposal.ids[:room]
        self._room = room

    def _learn(self, emitted: list[int]) -> int:
        """Tell the lookahead what the engine made of the candidates."""
        if self.candidates is None:
            return 0
        draft, chain = self._draft, Chain(self._draft, self._proposal, len(self.candidates))
        accepted = len(chain.path(emitted))
        self._lookahead.update(
            Round(
                tokens=emitted,
                accepted=accepted,
                drafted=chain.drafted,
                drafted_accepted=chain.drafted_accepted(emitted),
                looked_up=chain.drafted - len(draft.ids),
                candidates=len(self.candidates),
                seconds={},
                confidences=draft.confidences,
                searched=draft.searched,
            )
        )
        return accepted

    def _guarded(self, part: str, call: Callable[[], T], otherwise: T) -> T:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the engine goes on without candidates
            self.release()
            self.cache, self.candidates = None, []
            self._translator, self._source = None, NoDrafts()
            self._setting.faults.warn(f"{part} failed: {described(error)}")
            return otherwise
