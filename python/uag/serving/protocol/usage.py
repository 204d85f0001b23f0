"""What a request has used and how drafts went, under names that tools read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from uag.stats import Round


@dataclass(slots=True)
class Usage:
    """Counts of one request's texts so far.

    >>> usage = Usage(prompt=5, cached=2)
    >>> usage.add([Round([7, 8], accepted=1, drafted=3, drafted_accepted=1, candidates=2,
    ...                  seconds={"prefill": 0.1, "verify": 0.2})])
    >>> usage.as_dict()["total_tokens"], usage.speculative()["mean_acceptance_length"]
    (7, 2.0)

    Attributes:
        prompt: ids of the prompts.
        cached: how many of them did not have to be read.
        new: ids of the texts.
        drafts: rounds with a draft.
        drafted, accepted: target ids that were drafted in them, and how many were right.
        looked_up: how many that were right were copied from texts, such as earlier replies.
        prefill, decoding: seconds.
        lengths: how often how many ids of a draft were right.
    """

    prompt: int = 0
    cached: int = 0
    new: int = 0
    drafts: int = 0
    drafted: int = 0
    accepted: int = 0
    looked_up: int = 0
    prefill: float = 0.0
    decoding: float = 0.0
    lengths: Counter[int] = field(default_factory=Counter[int])

    def add(self, rounds: Sequence[Round]) -> None:
        """Count further rounds of a text."""
        for done in rounds:
            self.new += len(done.tokens)
            before = done.seconds.get("prefill", 0.0)
            self.prefill += before
            self.decoding += sum(done.seconds.values()) - before
            if done.candidates:
                self.drafts += 1
                self.drafted += done.candidates
                self.accepted += done.accepted
                self.looked_up += done.looked_up_accepted
                self.lengths[done.accepted] += 1

    def as_dict(self) -> dict[str, Any]:
        """As OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.new,
            "total_tokens": self.prompt + self.new,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {
                "accepted_prediction_tokens": self.accepted,
                "rejected_prediction_tokens": self.drafted - self.accepted,
            },
        }

    def speculative(self) -> dict[str, Any]:
        """As vLLM's `metrics.speculative_decoding`; drafted tokens are counted in target ids."""
        return {
            "num_spec_steps": self.drafts,
            "num_draft_tokens": self.drafted,
            "num_accepted_draft_tokens": self.accepted,
            "mean_acceptance_length": 1 + self.accepted / self.drafts if self.drafts else 1.0,
            "draft_acceptance_rate": self.accepted / self.drafted if self.drafted else 0.0,
            "acceptance_histogram": {
                str(size): self.lengths[size] for size in sorted(self.lengths)
            },
        }

    def timings(self) -> dict[str, Any]:
        """As llama.cpp's `timings`."""
        read = self.prompt - self.cached
        return {
            "cache_n": self.cached,
            "prompt_n": read,
            "prompt_ms": 1000 * self.prefill,
            "prompt_per_token_ms": 1000 * self.prefill / read if read else 0.0,
            "prompt_per_second": read / self.prefill if self.prefill else 0.0,
            "predicted_n": self.new,
            "predicted_ms": 1000 * self.decoding,
            "predicted_per_token_ms": 1000 * self.decoding / self.new if self.new else 0.0,
            "predicted_per_second": self.new / self.decoding if self.decoding else 0.0,
            "draft_n": self.drafted,
            "draft_n_accepted": self.accepted,
        }

    def extras(self) -> dict[str, Any]:
        """The fields beside `usage` that benchmarks read."""
        return {"metrics": {"speculative_decoding": self.speculative()}, "timings": self.timings()}
