"""The rows of a padded batch that transformers has prepared, each decoded as its own generation.

A row is decoded without its padding. Its processors and criteria see the padding, as they do in
transformers, so that lengths and penalties mean the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PrefixConstrainedLogitsProcessor,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.utils import GenerateDecoderOnlyOutput

from uag.decoding.output import Output
from uag.decoding.verify import BY_ROW
from uag.errors import OptionError
from uag.models.cached_lm import id_list
from uag.requests.options import Plan, plan_prepared
from uag.requests.own_state import BLIND, at_row, own_objects
from uag.requests.prompts.ids import check_ids, without_padding
from uag.stats import Stats


@dataclass
class AssistedOutput(GenerateDecoderOnlyOutput):
    """transformers' output of `return_dict_in_generate=True`, with statistics.

    >>> inputs = target_tokenizer("Once upon a time", return_tensors="pt")
    >>> options = {"max_new_tokens": 8, "return_dict_in_generate": True, "output_scores": True}
    >>> out = target.generate(**inputs, custom_generate=decoder, **options)
    >>> len(out.scores), out.stats[0].tokens
    (8, 8)

    Attributes:
        sequences: prompts and continuations, padded: `[rows, length]`.
        scores: with `output_scores=True`, the processed scores of each new position: a tuple of
            tensors `[rows, vocabulary]`, which are 0 for a row that has ended.
        logits: with `output_logits=True`, the logits before processing, in the same form.
        stats: the `Stats` of each row.
        seed: the seed that reproduces the output if tokens were sampled; `None` for greedy
            decoding.
    """

    stats: list[Stats] | None = None
    seed: int | None = None


class Rows:
    """A prepared batch: for each row its prompt, its plan, and its recorded scores and logits."""

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        config: GenerationConfig,
        processors: LogitsProcessorList,
        criteria: StoppingCriteriaList,
    ) -> None:
        """Raises a `PromptError` for rows that are empty, too long, or not padded on the left."""
        settings = cast("Any", config)
        self._input_ids = input_ids
        self._pad = settings._pad_token_tensor
        self._with_dict = bool(settings.return_dict_in_generate)
        self._keeps_scores = self._with_dict and bool(settings.output_scores)
        self._keeps_logits = self._with_dict and bool(settings.output_logits)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        self.prompts = [
            without_padding(id_list(ids), [*map(bool, id_list(real))], f"row {row} of the batch")
            for row, (ids, real) in enumerate(zip(input_ids, mask, strict=True))
        ]
        for prompt in self.prompts:
            check_ids(prompt, model)
        self._records = [_Record() for _ in self.prompts]
        given = cast("list[Any]", [*processors, *criteria])
        own = [own_objects(given, len(self.prompts)) for _ in self.prompts]
        self.claims = [claim for _, claim in own]
        self.plans: list[Plan] = []
        count = len(processors)
        for row, (each, claim) in enumerate(own):
            with claim:
                self.plans.append(self._plan(model, row, config, each[:count], each[count:]))

    def _plan(
        self,
        model: PreTrainedModel,
        row: int,
        config: GenerationConfig,
        processors: list[LogitsProcessor],
        criteria: list[StoppingCriteria],
    ) -> Plan:
        whole = id_list(self._input_ids[row])
        padding = whole[: len(whole) - len(self.prompts[row])]
        place = _Place(row, len(self.prompts), padding)
        own = [_processor(processor, place) for processor in processors]
        record = self._records[row]
        if self._keeps_logits:
            own.insert(0, _Keep(record.logits))
        if self._keeps_scores:
            own.append(_Keep(record.scores))
        return plan_prepared(
            model,
            config,
            LogitsProcessorList(own),
            [_criterion(criterion, place) for criterion in criteria],
            len(self.prompts[row]),
            self._input_ids.device,
            len(padding),
            record.scores if self._keeps_scores else None,
        )

    def output(self, outputs: Sequence[Output]) -> Tensor | AssistedOutput:
        """The outputs in the form that `model.generate` returns.

        Raises:
            OptionError: if rows end at different lengths and there is no pad token.
        """
        longest = max(len(out.token_ids) for out in outputs)
        if self._pad is None and any(len(out.token_ids) < longest for out in outputs):
            raise OptionError(
                "the rows end at different lengths and there is no pad token to fill them with; "
                "give pad_token_id="
            )
        pad = 0 if self._pad is None else int(self._pad)
        new = [[*out.token_ids, *[pad] * (longest - len(out.token_ids))] for out in outputs]
        tail = torch.tensor(new, dtype=torch.long, device=self._input_ids.device)
        sequences = torch.cat([self._input_ids, tail], dim=-1)
        if not self._with_dict:
            return sequences
        scores, logits = (
            _stacked(kept, [len(out.token_ids) for out in outputs]) if keeps else None
            for keeps, kept in (
                (self._keeps_scores, [record.scores for record in self._records]),
                (self._keeps_logits, [record.logits for record in self._records]),
            )
        )
        return AssistedOutput(
            sequences=cast("torch.LongTensor", sequences),
            scores=cast("Any", scores),
            logits=cast("Any", logits),
            stats=[out.stats for out in outputs],
            seed=outputs[0].seed,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """A row's index in its batch, the number of rows, and the row's padding ids."""

    row: int
    rows: int
    padding: list[int]

    def batch(self, input_ids: Tensor) -> Tensor:
        """A batch with padding in which every row is this one: `input_ids`, `[1, length]`."""
        padding = input_ids.new_tensor([self.padding])
        return torch.cat([padding, input_ids], dim=-1).repeat(self.rows, 1)


class _OfRow(LogitsProcessor):
    """A batch's processor applied to one of its rows, which advances at its own pace.

    The processor is called with a batch in which every row is this one, and the result for the
    row's own index is used: some processors keep state for each row index.
    """

    def __init__(self, processor: LogitsProcessor, place: _Place) -> None:
        self._processor = processor
        self._place = place

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        batch = self._place.batch(input_ids)
        processed = cast("Any", self._processor)(batch, scores.repeat(self._place.rows, 1))
        return processed[self._place.row, None]


class _CriterionOfRow(StoppingCriteria):
    """A batch's stopping criterion applied to one of its rows, as in `_OfRow`."""

    def __init__(self, criterion: StoppingCriteria, place: _Place) -> None:
        self._criterion = criterion
        self._place = place

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        batch, rows = cast("Any", self._place.batch(input_ids)), self._place.rows
        each = None if scores is None else tuple(step.expand(rows, -1) for step in scores)
        met: Any = self._criterion(batch, cast("Any", each), **kwargs)
        return met[self._place.row] if isinstance(met, Tensor) and met.dim() else met


class _Keep(LogitsProcessor):
    """A processor that changes nothing and keeps a copy of the scores."""

    def __init__(self, kept: list[Tensor]) -> None:
        self._kept = kept

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        del input_ids
        self._kept.append(scores.clone())
        return scores


class _Record:
    """Scores and logits of one row: a tensor `[1, vocabulary]` for each new id."""

    def __init__(self) -> None:
        self.scores: list[Tensor] = []
        self.logits: list[Tensor] = []


def _processor(processor: LogitsProcessor, place: _Place) -> LogitsProcessor:
    if type(processor) in BY_ROW or (place.rows == 1 and not place.padding):
        return processor
    if type(processor) is PrefixConstrainedLogitsProcessor:
        # Its function is the user's: it must get each row's ids with that row's own index only.
        allowed = at_row(cast("Any", processor)._prefix_allowed_tokens_fn, place.row)
        processor = PrefixConstrainedLogitsProcessor(allowed, 1)
        place = _Place(0, 1, place.padding)
    return _OfRow(processor, place)


def _criterion(criterion: StoppingCriteria, place: _Place) -> StoppingCriteria:
    blind = type(criterion) in BLIND or (place.rows == 1 and not place.padding)
    return criterion if blind else _CriterionOfRow(criterion, place)


def _stacked(kept: list[list[Tensor]], lengths: list[int]) -> tuple[Tensor, ...]:
    """For each new position `[rows, vocabulary]`, from each row's tensors; 0 after a row's end."""
    ended = torch.zeros_like(kept[0][0])
    return tuple(
        torch.cat(
            [
                row[step] if step < length else ended
                for row, length in zip(kept, lengths, strict=True)
            ]
        )
        for step in range(max(lengths))
    )
