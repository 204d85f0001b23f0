"""Requests: prompts and options, read and checked before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from uag.errors import OptionError
from uag.limits import check_limits
from uag.models.prefill import Prefill
from uag.requests.asked import says_whether_to_sample, warn_idle
from uag.requests.options import Plan, plan_generation
from uag.requests.own_state import Claim, for_text
from uag.requests.padded_rows import Rows
from uag.requests.prompts.hints import hints_of
from uag.requests.prompts.ids import Prompt
from uag.requests.prompts.reader import PromptReader, ReadPrompt


@dataclass(frozen=True, slots=True)
class Request:
    """One generation that is asked for.

    Attributes:
        target_ids, assistant_ids: the prompt in the ids of either vocabulary.
        prefill: what the target reads, if the prompt is more than ids.
        plan: processors, where to stop, and how tokens are sampled.
        claim: the caller's own processors and criteria that it uses.
        hints: what the caller should know of the prompt.
        trace: whether to record each round, id by id.
    """

    target_ids: list[int]
    assistant_ids: list[int]
    prefill: Prefill | None
    plan: Plan
    claim: Claim
    hints: Sequence[str] = ()
    trace: bool = False


@dataclass(frozen=True, slots=True)
class RequestReader:
    """Reads prompts and options into requests, for one target and one assistant's tokenizer."""

    prompts: PromptReader

    def read(
        self,
        prompts: Sequence[Prompt],
        options: dict[str, Any],
        *,
        count: int | None = None,
        seed: int | None = None,
        trace: bool = False,
    ) -> list[Request]:
        """`count` requests for each prompt, one if it is `None`.

        A time limit (`max_time`) starts here, for all requests together.

        Raises:
            PromptError: for a prompt that is empty, too long or has ids outside the vocabulary.
            OptionError: for an option that is unknown, out of range or not supported, or several
                continuations of a prompt with greedy decoding.
        """
        check_limits({"num_return_sequences": count, "seed": seed})
        # An image is read once for all continuations of its prompt.
        rows = [prompt for prompt in map(self.prompts.read, prompts) for _ in range(count or 1)]
        requests: list[Request] = []
        for row, prompt in enumerate(rows):
            requests.append(self._request(prompt, options, row, len(rows), trace=trace))
            if requests[0].plan.sampling is None and count not in (None, 1):
                raise OptionError(
                    f"num_return_sequences={count}, but greedy decoding gives the same text each "
                    "time; add do_sample=True"
                )
        if requests[0].plan.sampling is None and not says_whether_to_sample(options):
            warn_idle({} if seed is None else {"seed": seed})
        return requests

    def rows(self, rows: Rows, prefill: Prefill | None = None) -> list[Request]:
        """A request for each row of a batch that transformers has prepared.

        `prefill`: what it has prepared of images, for a single row.
        """
        return [
            self._planned(self.prompts.prepared(ids, prefill), plan, claim)
            for ids, plan, claim in zip(rows.prompts, rows.plans, rows.claims, strict=True)
        ]

    def _request(
        self, prompt: ReadPrompt, options: dict[str, Any], row: int, rows: int, *, trace: bool
    ) -> Request:
        own, claim = for_text(options, row, rows)
        with claim:
            model, tokenizer = self.prompts.model, self.prompts.tokenizer
            plan = plan_generation(model, tokenizer, prompt.target_ids, own)
            return self._planned(prompt, plan, claim, trace=trace)

    def _planned(
        self, prompt: ReadPrompt, plan: Plan, claim: Claim, *, trace: bool = False
    ) -> Request:
        hints = hints_of(prompt, self.prompts.tokenizer, plan.stop.end_ids)
        ids = prompt.target_ids, prompt.assistant_ids
        return Request(*ids, prompt.prefill, plan, claim, hints, trace)
