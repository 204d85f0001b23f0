"""Sampling by rejection over the tokens that both vocabularies have.

Timor et al., "Accelerating LLM Inference with Lossless Speculative Decoding Algorithms for
Heterogeneous Vocabularies", 2025 (token-level intersection), with the acceptance rule of Leviathan,
Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", 2023: the assistant
draws from its distribution over the shared tokens, q; a drafted token is accepted with the chance
min(1, p / q), p being the target's; the first that isn't is replaced by a draw from what p has
above q. That is a draw from p. With d the total variation between p and q it accepts a share of
1 - d, against (1 - d) / (1 + d) that shared noise has at least; but only what both vocabularies
spell alike can be drafted, and the text for a seed depends on the assistant and how far it drafts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from uag._core import Edit, Proposal, Tokenizer
from uag.sampling.coupled import DraftShape
from uag.sampling.noise import digest, gumbel, step_keys
from uag.translation.protocol import Translator


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """The tokens that both vocabularies have, one to one.

    Attributes:
        assistant_ids, target_ids: `[shared]`, int64: a token's id on either side.
        to_target: the same as numbers.
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
    ) -> Self:
        """Those with the same bytes, and the special `pairs` of (target id, assistant id)."""
        target_texts = _by_text(bridge_target)
        shared = {
            id: target_texts[text]
            for text, id in _by_text(assistant).items()
            if text in target_texts
        }
        shared |= {assistant_id: target_id for target_id, assistant_id in reversed(pairs)}
        # A special token of the target may be paired with several.
        one_to_one = {target_id: id for id, target_id in shared.items()}
        to_target = {id: target_id for target_id, id in one_to_one.items()}
        return cls(
            torch.tensor(list(to_target), device=device),
            torch.tensor(list(to_target.values()), device=device),
            to_target,
        )


class RejectionSampling:
    """The random choices of one text: those of the assistant, and those about them."""

    def __init__(
        self,
        shared: SharedTokens,
        sequence_key: int,
        shape: DraftShape,
        length: Callable[[], int],
    ) -> None:
        """`length` tells how many target ids the text has when a draft begins."""
        self._shared = shared
        self._keys = [digest(sequence_key, use) for use in ("draft", "accept", "replace")]
        self._shape = shape
        self._length = length
        self._start = 0
        # Of each drafted token: the ids it was drawn from, in the target's vocabulary, and q.
        self._drawn_from: list[tuple[Tensor, Tensor]] = []

    def draft(self) -> Callable[[Tensor], Tensor]:
        """A draft's way to choose ids: `[1, vocabulary]` -> `[1]`, on the assistant's device."""
        self._start, self._drawn_from = self._length(), []

        def choose(logits: Tensor) -> Tensor:
            scores, at = self._shape(logits[0, self._shared.assistant_ids])
            ids = self._shared.target_ids[at]
            self._drawn_from.append((ids, scores.softmax(-1)))
            step = self._step("draft", self._start + len(self._drawn_from) - 1, logits.device)
            return self._shared.assistant_ids[at[(scores + gumbel(step, ids)).argmax(-1)]]

        return choose

    def given(self, ids: list[int]) -> None:
        """A draft of target ids that nobody drew: each had the chance 1."""
        self._start = self._length()
        self._drawn_from = [(torch.tensor([id]), torch.ones(1)) for id in ids]

    def __call__(self, scores: Tensor, ids: list[int], end: int) -> Tensor:
        """The target's token for each row: the candidate there, or another one in its place.

        `[rows, vocabulary]` -> `[rows]`; -1 where the scores allow no token.
        """
        return torch.cat(
            [self._verified(row, ids, end + index) for index, row in enumerate(scores)]
        )

    def _verified(self, scores: Tensor, ids: list[int], place: int) -> Tensor:
        chances = scores.softmax(-1)
        step = self._step("replace", place, scores.device)
        tokens = torch.arange(len(scores), device=scores.device)
        if place == len(ids):
            return _drawn(chances, gumbel(step, tokens))
        candidate = torch.tensor([ids[place]], device=scores.device)
        drawn_from, q = (part.to(scores.device) for part in self._drawn_from[place - self._start])
        rest = chances.index_add(0, drawn_from, -q.to(chances.dtype)).clamp_(min=0)
        other = _drawn(rest, gumbel(step, tokens))
        # Uniform noise: the distribution function of Gumbel's at its draw.
        noise = gumbel(self._step("accept", place, scores.device), candidate)[0]
        uniform = noise.neg().exp().neg().exp()
        accepted = uniform * q[drawn_from == candidate].sum() < chances[candidate]
        return candidate.where(accepted, other).where(chances.isfinite().all(), -1)

    def _step(self, use: str, place: int, device: torch.device) -> Tensor:
        return step_keys(self._keys[("draft", "accept", "replace").index(use)], [place], device)


def _drawn(chances: Tensor, noise: Tensor) -> Tensor:
    best = (chances.log() + noise).max(-1)
    return best.indices.where(best.values > -torch.inf, -1)


def _by_text(tokenizer: Tokenizer) -> dict[bytes, int]:
    texts = ((tokenizer.token_bytes(id), id) for id in range(tokenizer.vocab_size))
    return {text: id for text, id in texts if text is not None}


class SameTokens:
    """A `Translator` whose candidates are the drafted tokens, each unchanged, or looked up."""

    # Drafts are whole tokens of both vocabularies: nothing of the text is held back.
    held = 0

    def __init__(
        self, translator: Translator, shared: SharedTokens, rejection: RejectionSampling
    ) -> None:
        self._translator = translator
        self._shared = shared
        self._rejection = rejection

    def propose(self, draft_ids: list[int], text: bytes = b"") -> Proposal:
        """The drafted ids by their names in the target's vocabulary, or ids that spell `text`."""
        proposal = self._translator.propose(draft_ids, text)
        if text:
            self._rejection.given(proposal.ids)
            return proposal
        ids = [self._shared.to_target[id] for id in draft_ids]
        return Proposal(ids, [*range(1, len(ids) + 1)])

    def commit(self, target_ids: list[int]) -> Edit:
        """As the core's."""
        return self._translator.commit(target_ids)
