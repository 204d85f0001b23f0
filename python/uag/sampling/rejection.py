"""Rejection sampling over the tokens that both vocabularies share.

This is token-level intersection (Timor et al., "Accelerating LLM Inference with Lossless
Speculative Decoding Algorithms for Heterogeneous Vocabularies", 2025) with the acceptance rule of
Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", 2023:

- The assistant samples from q, its distribution over the shared tokens.
- A drafted token is accepted with probability min(1, p / q), where p is the target's distribution.
- The first rejected token is replaced by a sample from the normalised positive part of p - q.

The result is an exact sample from p. If d is the total variation distance between p and q, a token
is accepted with probability 1 - d; shared noise guarantees at least (1 - d) / (1 + d). But only
tokens that both vocabularies have can be drafted, and the output for a seed depends on the
assistant and on how many ids it drafts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from uag._core import Edit, Proposal, Tokenizer, TreeProposal
from uag.sampling.coupled import DraftShape
from uag.sampling.noise import digest, gumbel, step_keys
from uag.translation.protocol import Translator


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """The tokens that both vocabularies have, as a one-to-one mapping.

    Attributes:
        assistant_ids, target_ids: `[shared]`, int64: each token's id on either side.
        to_target: the same mapping as a dictionary, assistant id -> target id.
    """

    assistant_ids: Tensor
    target_ids: Tensor
    to_target: dict[int, int]

    @classmethod
    def of(
        cls,
        bridge_target: Tokenizer,
        assistant: Tokenizer,
        pairs: list[tuple[int, int]],
        device: torch.device,
        rows: tuple[int, int] | None = None,
    ) -> Self:
        """Tokens with the same bytes, and the special `pairs` of (target id, assistant id).

        `rows`: for how many ids the target and the assistant have scores; others are left out.
        """
        target_texts = _by_text(bridge_target)
        shared = {
            id: target_texts[text]
            for text, id in _by_text(assistant).items()
            if text in target_texts
        }
        shared |= {assistant_id: target_id for target_id, assistant_id in reversed(pairs)}
        # A special token of the target may be paired with several of the assistant's.
        one_to_one = {target_id: id for id, target_id in shared.items()}
        targets, assistants = rows or (bridge_target.vocab_size, assistant.vocab_size)
        to_target = {
            id: target_id
            for target_id, id in one_to_one.items()
            if target_id < targets and id < assistants
        }
        return cls(
            torch.tensor(list(to_target), device=device),
            torch.tensor(list(to_target.values()), device=device),
            to_target,
        )


class RejectionSampling:
    """Samples drafts of one generation, and accepts or replaces their tokens."""

    def __init__(
        self,
        shared: SharedTokens,
        sequence_key: int,
        shape: DraftShape,
        length: Callable[[], int],
    ) -> None:
        """Prepare to sample.

        Args:
            shared: the tokens that may be drafted.
            sequence_key: the generation's; all random choices follow from it.
            shape: the assistant's sampling options.
            length: called at the start of a draft for the number of target ids so far.
        """
        self._shared = shared
        self._keys = [digest(sequence_key, use) for use in ("draft", "accept", "replace")]
        self._shape = shape
        self._length = length
        self._start = 0
        # For each drafted token: the ids it was sampled from, in the target's vocabulary, and q.
        self._sampled_from: list[tuple[Tensor, Tensor]] = []

    def draft(self) -> Callable[[Tensor], Tensor]:
        """Begin a draft; returns the function that samples its ids, one after another.

        It maps logits `[1, vocabulary]` to an id `[1]` on the assistant's device.
        """
        self._start, self._sampled_from = self._length(), []

        def choose(logits: Tensor) -> Tensor:
            scores, at = self._shape(logits[0, self._shared.assistant_ids])
            ids = self._shared.target_ids[at]
            self._sampled_from.append((ids, scores.softmax(-1)))
            step = self._step("draft", self._start + len(self._sampled_from) - 1, logits.device)
            return self._shared.assistant_ids[at[(scores + gumbel(step, ids)).argmax(-1)]]

        return choose

    def given(self, ids: list[int]) -> None:
        """Begin a draft of target ids that were not sampled, such as looked-up ones: q is 1."""
        self._start = self._length()
        self._sampled_from = [(torch.tensor([id]), torch.ones(1)) for id in ids]

    def __call__(self, scores: Tensor, ids: list[int], end: int) -> Tensor:
        """The token for each row of the target's scores: its candidate, or one that replaces it.

        Row `r` follows `ids[:end + r]`, so its candidate is `ids[end + r]`. The last row has none.

        `[rows, vocabulary]` -> `[rows]`; -1 if a row's scores allow no token.
        """
        return torch.cat(
            [self._verified(row, ids, end + index) for index, row in enumerate(scores)]
        )

    def _verified(self, scores: Tensor, ids: list[int], place: int) -> Tensor:
        """The token at index `place` of `ids`: accepted, replaced, or new after the last one."""
        chances = scores.softmax(-1)
        step = self._step("replace", place, scores.device)
        tokens = torch.arange(len(scores), device=scores.device)
        if place == len(ids):
            return _sampled(chances, gumbel(step, tokens))
        candidate = torch.tensor([ids[place]], device=scores.device)
        sampled_from = self._sampled_from[place - self._start]
        support, q = (part.to(scores.device) for part in sampled_from)
        rest = chances.index_add(0, support, -q.to(chances.dtype)).clamp_(min=0)
        # An assistant whose logits are NaN proposes nothing: the token is sampled from p itself.
        rest = rest.where(q.isfinite().all(), chances)
        other = _sampled(rest, gumbel(step, tokens))
        # A uniform sample: the Gumbel distribution function, applied to a Gumbel sample.
        noise = gumbel(self._step("accept", place, scores.device), candidate)[0]
        uniform = noise.neg().exp().neg().exp()
        accepted = uniform * q[support == candidate].sum() < chances[candidate]
        return candidate.where(accepted, other).where(chances.isfinite().all(), -1)

    def _step(self, use: str, place: int, device: torch.device) -> Tensor:
        return step_keys(self._keys[("draft", "accept", "replace").index(use)], [place], device)


def _sampled(chances: Tensor, noise: Tensor) -> Tensor:
    """A sample with Gumbel noise: `[vocabulary]` -> `[1]`; -1 if all chances are 0."""
    best = (chances.log() + noise).max(-1)
    return best.indices.where(best.values > -torch.inf, -1)


def _by_text(tokenizer: Tokenizer) -> dict[bytes, int]:
    """Bytes -> id; of several tokens with the same bytes, the last counts."""
    texts = ((tokenizer.token_bytes(id), id) for id in range(tokenizer.vocab_size))
    return {text: id for text, id in texts if text is not None}


class SameTokens:
    """A `Translator` whose candidates are the drafted tokens themselves, or looked-up ones.

    Each drafted token of the assistant becomes the same token of the target; no text is encoded.
    """

    # Drafts are whole tokens of both vocabularies, so no bytes are held back.
    held = 0

    def __init__(
        self, translator: Translator, shared: SharedTokens, rejection: RejectionSampling
    ) -> None:
        self._translator = translator
        self._shared = shared
        self._rejection = rejection

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """The drafted tokens' ids in the target's vocabulary, or ids that spell `text`."""
        proposal = self._translator.propose(draft_ids, text)
        if text:
            self._rejection.given(proposal.ids)
            return proposal
        ids = [self._shared.to_target[id] for id in draft_ids]
        return Proposal(ids, [*range(1, len(ids) + 1)])

    def propose_tree(
        self, ids: list[int], parents: list[int], chances: list[float], held: list[int]
    ) -> TreeProposal | None:
        """Nothing: a token is accepted or replaced where one was drafted."""
        del ids, parents, chances, held

    def commit(self, target_ids: list[int]) -> Edit:
        """See `Translator`."""
        return self._translator.commit(target_ids)
