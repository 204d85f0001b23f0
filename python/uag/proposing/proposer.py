"""`uag.Proposer`: text in, candidates out, for an engine that runs the target itself."""

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import ProcessorMixin

from uag.batching.scheduler import NARROW, PIECE, Hub
from uag.drafting.custom import Drafter
from uag.drafting.fallback import FaultPolicy
from uag.drafting.lookup import Lookup
from uag.drafting.sides import draft_side, model_name
from uag.errors import OptionError, warn_once
from uag.limits import check_positive
from uag.lookahead.protocol import Lookahead
from uag.lookahead.schedules import Schedule
from uag.models.engines.choice import AUTO, EngineChoice
from uag.models.properties import context_window, position_limit
from uag.models.suitable import check_belongs
from uag.models.wrappers import AnyModel
from uag.proposing.caches import Caches, caches_for
from uag.proposing.pays import LONGEST, Acceptance
from uag.proposing.row import Ids, Row, Setting
from uag.proposing.rows import Rows
from uag.translation.bridge import Bridge, SpecialPairs, as_pairs
from uag.translation.tokenizers import (
    AnyTokenizer,
    tokenizer_end_id,
    tokenizer_in,
    unshortened,
)
from uag.values import is_number, is_whole, listed, shown

# Bytes for the assistant's caches.
CACHE_BYTES = 1 << 30
# Most ids of prompts that the assistant reads in a call.
PROMPT_IDS = 2048
# What drafting an id costs, in passes of the target.
DRAFT_COST = 0.1
# Ids beyond a text that a row needs room for.
MARGIN = LONGEST + NARROW


class Proposer:
    """Proposes what may follow texts that another engine decodes: vLLM, llama.cpp, one of your own.

    The engine runs the target. Before each of its passes it gives the ids of all texts, verifies
    the candidates that it gets, and comes back with what it emitted. The assistant may have another
    tokenizer. A wrong candidate costs time and never changes the output.

    A text is found again by its content: texts may move, disappear, come back, begin alike or be
    equal. What fails is a warning, and nothing is proposed for that text from there on.

    >>> import uag
    >>> proposer = uag.Proposer(target_tokenizer, assistant, assistant_tokenizer)
    >>> ids = target_tokenizer("Once upon a time")["input_ids"]
    >>> (candidates,) = proposer.propose([ids], limits=4)
    >>> 0 < len(candidates) <= 4
    True

    A proposer is for one thread at a time.

    Args:
        target_tokenizer: the target's tokenizer: a fast one of transformers, a
            `tokenizers.Tokenizer`, or a processor with one.
        assistant: what drafts: a model, "lookup", a `Lookup` or a `Drafter`, as for
            `SpeculativeDecoder`.
        assistant_tokenizer: the assistant's tokenizer, required for a model.
        lookahead: how many assistant ids to draft for a text, at most: never many more than fill
            the limit. "auto" (default): for each text as many as pay by what was accepted, or
            none; or see `SpeculativeDecoder`.
        lookup: see `SpeculativeDecoder`.
        special_pairs: see `SpeculativeDecoder`. The ends of text and turn are paired.
        draft_cost: for "auto", what drafting an id costs, in passes of the target; above 0.
        vocabulary: how many ids the target has, if its tokenizer has more: no others are proposed.
        prompt_ids: most ids of prompts that the assistant reads in a call. For a longer prompt
            nothing is proposed until some calls later. A model that cannot read several texts in a
            pass reads each prompt at once.
        cache_bytes: most bytes for the assistant's KV caches (default 1 GiB). For texts that do not
            fit nothing is proposed. Of texts that were not given in a call, what is left keeps the
            states, the least recently used go first.
        engine: how the assistant's passes run: "auto" (default) by captured graphs on CUDA devices,
            or see `SpeculativeDecoder`; with "compile" only those of a model that reads one text at
            a time.

    Attributes:
        bridge: the translation between both vocabularies.
        proposed: how many candidates were proposed so far.
        accepted: how many of them the engine emitted.

    Raises:
        UnsupportedModelError: for an assistant that cannot draft.
        UnsupportedTokenizerError: see `SpeculativeDecoder`.
        OptionError: for a number out of range, an assistant that is missing, and as
            `SpeculativeDecoder` does.
    """

    def __init__(
        self,
        target_tokenizer: AnyTokenizer | ProcessorMixin,
        assistant: AnyModel | Drafter | Lookup | str | None = None,
        assistant_tokenizer: AnyTokenizer | ProcessorMixin | None = None,
        *,
        lookahead: int | str | Lookahead = "auto",
        lookup: Lookup | bool | None = None,
        special_pairs: SpecialPairs | None = None,
        draft_cost: float = DRAFT_COST,
        vocabulary: int | None = None,
        prompt_ids: int = PROMPT_IDS,
        cache_bytes: int = CACHE_BYTES,
        engine: str = AUTO,
    ) -> None:
        check_positive(vocabulary=vocabulary, prompt_ids=prompt_ids, cache_bytes=cache_bytes)
        if not (is_number(draft_cost) and draft_cost > 0):
            raise OptionError(f"draft_cost is {shown(draft_cost)}, but must be above 0 and finite")
        schedule = Schedule(lookahead)
        own = unshortened(tokenizer_in(target_tokenizer))
        given = None if assistant_tokenizer is None else tokenizer_in(assistant_tokenizer)
        other = None if given is None else unshortened(given)
        chosen = EngineChoice.of(engine, compile=False)
        side = draft_side(assistant, other, lookup, schedule, chosen)
        if not side.drafts:
            raise OptionError("assistant is None, so nothing drafts; give a model or 'lookup'")
        end = tokenizer_end_id(own)
        pairs = as_pairs(special_pairs)
        pairs += side.end_pairs([] if end is None else [end], own)
        self.bridge = Bridge(own, own if other is None else other, pairs)
        self.proposed = self.accepted = 0
        self._window: int | None = None
        caches = Caches(cache_bytes)
        if side.runner is not None:
            model = side.runner.model
            check_belongs(model, self.bridge.assistant, "assistant")
            self._window = position_limit(model) or context_window(model)
            caches = caches_for(side.runner, cache_bytes)
        self._prompt_ids = prompt_ids
        self._setting = Setting(
            self.bridge,
            side,
            caches,
            schedule,
            Acceptance(),
            float(draft_cost),
            vocabulary,
            FaultPolicy(),
        )
        self._rows = Rows()

    def __repr__(self) -> str:
        side, option = self._setting.side, self._setting.schedule.option
        drafts = [] if side.assistant is None else [model_name(side.assistant)]
        drafts += [] if side.lookup is None else [repr(side.lookup)]
        return f"Proposer({' + '.join(drafts)}, lookahead={option!r})"

    def propose(
        self, rows: Sequence[Sequence[int]], limits: int | Sequence[int]
    ) -> list[list[int]]:
        """Candidates for what follows each text; empty where there is nothing to propose.

        Args:
            rows: for each text all of its target ids, prompt included; as lists, or as arrays of
                whole numbers of shape `[length]`.
            limits: the most candidates, for each text or for all. A text with 0 is left alone.

        Returns:
            For each text up to so many target ids.

        Raises:
            OptionError: for rows that are no ids, and limits that are not one for each.
        """
        texts = [_ids(index, row) for index, row in enumerate(rows)]
        wanted = _limits(limits, len(texts))
        found = self._rows.found(texts)
        for index, (row, text, limit) in enumerate(zip(found, texts, wanted, strict=True)):
            if limit and row is None:
                found[index] = Row(text, self._setting)
            elif limit and row is not None:
                self.accepted += row.follow(text, limit)
        for idle in self._rows.keep([row for row in found if row is not None]):
            idle.release()
        given = [(row, limit) for row, limit in zip(found, wanted, strict=True) if row is not None]
        # What was made in inference mode could not be changed outside of it.
        with torch.inference_mode(mode=False):
            self._draft(given)
        self._setting.caches.tidy()
        candidates = [
            [] if row is None else (row.candidates or [])[:limit]
            for row, limit in zip(found, wanted, strict=True)
        ]
        self.proposed += sum(map(len, candidates))
        return candidates

    def _draft(self, rows: Sequence[tuple[Row, int]]) -> None:
        """Draft for all rows that have not, in passes that they share."""
        caches = self._setting.caches
        left_out = self._left_out([row for row, _ in rows])
        last = caches.read_ids + self._prompt_ids
        hub = Hub(caches.batches, prompt_ids=min(PIECE, self._prompt_ids))
        try:
            for row, limit in rows:
                if limit and row.waits and row not in left_out:
                    hub.begin(partial(row.propose, limit), _checked)
            while hub.step():
                if caches.read_ids >= last:
                    for task in hub.reading:
                        hub.drop(task)
        finally:
            hub.drop_all()

    def _left_out(self, rows: Sequence[Row]) -> set[Row]:
        """Those for which the assistant's caches have no room."""
        reading = [row for row in rows if row.cache is not None]
        longest = max((row.length for row in reading), default=0)
        longest = min(longest, self._window or longest) + MARGIN
        caches = [row.cache for row in reading if row.cache is not None]
        left_out = reading[self._setting.caches.admitted(caches, longest) :]
        if left_out:
            warn_once(
                f"the assistant's caches of {len(reading)} texts of up to {longest} ids do not fit "
                f"into cache_bytes={self._setting.caches.budget}: nothing is proposed for some of "
                "them; give more, or draft for fewer"
            )
        return set(left_out)


def _checked(outcome: Future[None]) -> None:
    outcome.result()


def _ids(index: int, row: object) -> Ids:
    """A row's ids, copied: an engine may change its own."""
    ids = np.asarray(row)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise OptionError(
            f"row {index} is {shown(row)}; give all ids of a text, as a list or an array of whole "
            "numbers"
        )
    return ids.astype(np.int64)


def _limits(given: int | Sequence[int], rows: int) -> list[int]:
    limits: list[Any] = [given] * rows if is_whole(given) else listed(given)
    if len(limits) != rows or not all(map(is_whole, limits)):
        raise OptionError(
            f"limits is {shown(given)}; give a number of candidates, at least 0, or one for each "
            f"of the {rows} rows"
        )
    return [int(limit) for limit in limits]
