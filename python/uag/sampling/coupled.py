"""Sampling: the target's draw, and the assistant's guess at it with the same noise.

The target's token at byte `n` of the new text is `argmax(scores + noise(text, n, token))`, an exact
draw from its processed distribution, independent of every other step. It depends on nothing that an
assistant does, so the text for a seed is the same with any assistant or none. The assistant looks
up the noise of its own tokens at the same byte. Drawing both from common randomness makes them
agree more often than independent draws do (Daliri, Musco and Suresh, "Coupling without
Communication and Drafter-Invariant Speculative Decoding", 2024, for one vocabulary).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor

from uag._core import Tokenizer
from uag.sampling.noise import digest, gumbel, step_keys
from uag.stats import Round

# An assistant's draw considers this many of its likeliest tokens. More cost time and change no
# measured acceptance; the output does not depend on it.
DRAFT_TOKENS = 64


@dataclass(frozen=True, slots=True)
class TokenNames:
    """What noise needs to know of a vocabulary.

    Attributes:
        keys: `[rows]`, int64: a key of each id's bytes, all different.
        lengths: `[rows]`, int64: how far each id moves the position: its bytes, and 1 for an id
            without any, so that no position comes twice.
        moves: `lengths` as numbers.
    """

    keys: Tensor
    lengths: Tensor
    moves: list[int]

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        rows: int,
        device: torch.device,
        named: Mapping[int, tuple[int, int]] | None = None,
    ) -> Self:
        """The names of the first `rows` ids; `named` gives some of them a key and a length."""
        keys, moves = [0] * rows, [1] * rows
        seen: Counter[bytes] = Counter()
        # From the end: of equal tokens the later is the one in use, the earlier a fallback byte.
        for id in reversed(range(rows)):
            data = tokenizer.token_bytes(id)
            if data is None:
                keys[id] = digest(id)
            else:
                keys[id], moves[id] = digest(data, seen[data]), len(data)
                seen[data] += 1
        for id, (key, length) in (named or {}).items():
            keys[id], moves[id] = key, length
        lengths = torch.tensor(moves, device=device)
        return cls(torch.tensor(keys, device=device), lengths, moves)

    def name(self, id: int) -> tuple[int, int]:
        """Key and length of an id."""
        return int(self.keys[id]), self.moves[id]


class Sampler:
    """Draws the target's tokens of one text."""

    def __init__(self, names: TokenNames, sequence_key: int, prompt_length: int) -> None:
        """`sequence_key`: any 64-bit number, another for each text."""
        self._names = names
        self._key = sequence_key
        self._counted = prompt_length
        self._position = 0

    def position(self, ids: list[int], end: int) -> int:
        """The position behind `ids[:end]`; `end` may not become smaller from call to call."""
        moves = self._names.moves
        self._position += sum(moves[id] for id in ids[self._counted : end])
        self._counted = end
        return self._position

    def __call__(self, scores: Tensor, ids: list[int], end: int) -> Tensor:
        """Draw from each row of processed scores: row `r` is for what follows `ids[:end + r]`.

        `[rows, vocabulary]` -> `[rows]`; -1 where the scores allow no token.
        """
        moves = (self._names.moves[id] for id in ids[end : end + len(scores) - 1])
        positions = list(accumulate(moves, initial=self.position(ids, end)))
        keys = step_keys(self._key, positions, scores.device)
        best = (scores + gumbel(keys, self._names.keys.to(scores.device))).max(-1)
        return best.indices.where(best.values > -torch.inf, -1)


@dataclass(frozen=True, slots=True)
class DraftShape:
    """How the assistant's distribution is shaped: as the target's, but sharper.

    Attributes:
        temperature, top_k, top_p, min_p: as in transformers; `top_k` 0, `top_p` 1 and `min_p` 0
            leave it as it is.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def sharper(self, factor: float) -> "DraftShape":
        """The same at another temperature."""
        return replace(self, temperature=self.temperature * factor)

    def __call__(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and ids of the likeliest tokens: `[vocabulary]` -> `[n]`, `[n]`."""
        count = min(DRAFT_TOKENS, self.top_k or DRAFT_TOKENS, logits.shape[-1])
        logits, ids = logits.float().topk(count)
        scores = logits / self.temperature
        if self.top_p < 1 or self.min_p > 0:
            chances = scores.softmax(-1)
            # The first is always kept.
            out = chances.cumsum(-1) - chances >= self.top_p
            scores = scores.masked_fill(out | (chances < self.min_p * chances[0]), -torch.inf)
        return scores, ids


class DraftSampling:
    """Draws the assistant's tokens of one text, with the noise of the target's."""

    def __init__(
        self,
        names: TokenNames,
        sequence_key: int,
        shape: Callable[[], DraftShape],
        position: Callable[[], int],
    ) -> None:
        """Each draft has its `shape`, and begins at its `position`."""
        self._names = names
        self._key = sequence_key
        self._shape = shape
        self._position = position

    def __call__(self) -> Callable[[Tensor], Tensor]:
        """A draft's way to choose ids: `[1, vocabulary]` -> `[1]`, on the assistant's device."""
        names, shape = self._names, self._shape()
        position = torch.tensor([self._position()], device=names.keys.device)

        def choose(logits: Tensor) -> Tensor:
            nonlocal position
            scores, ids = shape(logits[0])
            step = step_keys(self._key, position, logits.device)
            id = ids[(scores + gumbel(step, names.keys[ids])).argmax(-1)]
            position = position + names.lengths[id]
            return id

        return choose


def draft_factor(history: Sequence[Round]) -> float:
    """The draft temperature, as a fraction of the target's, that suits how drafts went lately.

    An assistant that is often wrong does better when it keeps to likely tokens, down to half the
    temperature; one that is nearly the target should draw as the target does.

    >>> draft_factor([])
    0.7
    """
    lately = history[-8:]
    drafted = sum(done.drafted for done in lately)
    accepted = sum(done.drafted_accepted for done in lately)
    # As if two of five ids had been accepted before.
    return 0.5 + 0.5 * (accepted + 2) / (drafted + 5)


def fresh_seed() -> int:
    """A seed from torch's generator, small enough for any JSON reader to keep."""
    return int(torch.randint(2**53, ()))


def sequence_key(seed: int, prompt: list[int], index: int) -> int:
    """The key of one text: the same again for the same arguments, unrelated for any others."""
    return digest(seed, prompt, index)
