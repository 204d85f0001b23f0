"""Coupled sampling: target and assistant sample with the same noise, so that they often agree.

The target's token at byte `n` of the output is `argmax(scores + noise(key, n, token))`, where `key`
belongs to the generation. This is an exact sample from the target's processed distribution,
independent of every other step. It does not depend on the assistant, so the output for a seed is
the same with any assistant or none. The assistant computes the noise of its own tokens at the same
byte. With common randomness the two models agree more often than with independent samples (Daliri,
Musco and Suresh, "Coupling without Communication and Drafter-Invariant Speculative Decoding", 2024,
for one vocabulary).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Self, cast

import torch
from torch import Tensor

from uag._core import Tokenizer
from uag.models.caches.protocol import StaticChoose
from uag.models.engines.fused.attention import attending
from uag.sampling.noise import digest, gumbel, gumbel_of_each, step_keys
from uag.stats import Round

# The assistant samples from this many of its likeliest tokens. More take longer and did not change
# the measured acceptance. The output does not depend on this number.
DRAFT_TOKENS = 64


@dataclass(frozen=True)
class TokenNames:
    """What is needed of a vocabulary to compute noise for it: a key and a length for each id.

    Attributes:
        keys: `[rows]`, int64: for each id a key computed from its bytes, all different.
        lengths: `[rows]`, int64: for each id its number of bytes, by which it advances the
            position. Ids without bytes count as 1, so that no position occurs twice.
        moves: `lengths` as a list.
    """

    keys: Tensor
    lengths: Tensor
    moves: list[int]

    @cached_property
    def on_host(self) -> Any:
        """`keys` as an array."""
        return cast("Any", self.keys.cpu()).numpy()

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        rows: int,
        device: torch.device,
        named: Mapping[int, tuple[int, int]] | None = None,
    ) -> Self:
        """The names of a vocabulary's first `rows` ids.

        Args:
            tokenizer: the core's tokenizer.
            rows: number of ids.
            device: where the tensors are.
            named: id -> (key, length), for ids that get a name from outside.
        """
        keys, moves = [0] * rows, [1] * rows
        seen: Counter[bytes] = Counter()
        # From the end: of tokens with the same bytes, the later one is in use and the earlier one a
        # fallback byte.
        for id in reversed(range(rows)):
            data = tokenizer.token_bytes(id)
            if data is None:
                keys[id] = digest(id)
            else:
                keys[id], moves[id] = digest(data, seen[data]), len(data)
                seen[data] += 1
        for id, (key, length) in (named or {}).items():
            if id < rows:
                keys[id], moves[id] = key, length
        lengths = torch.tensor(moves, device=device)
        return cls(torch.tensor(keys, device=device), lengths, moves)

    def name(self, id: int) -> tuple[int, int]:
        """The key and the length of an id."""
        return int(self.keys[id]), self.moves[id]


class Sampler:
    """Samples the target's tokens of one generation."""

    def __init__(self, names: TokenNames, sequence_key: int, prompt_length: int) -> None:
        """Begin after a prompt of `prompt_length` target ids.

        `sequence_key`: any 64-bit number, a different one for each generation.
        """
        self._names = names
        self._key = sequence_key
        self._counted = prompt_length
        self._position = 0

    def position(self, ids: list[int], end: int) -> int:
        """The position in bytes after `ids[:end]`; `end` must not decrease from call to call."""
        moves = self._names.moves
        self._position += sum(moves[id] for id in ids[self._counted : end])
        self._counted = end
        return self._position

    def noise(self, tokens: list[int], parents: list[int], ids: list[int]) -> list[float]:
        """The noise of each token of a tree that follows `ids`; `parents`: see `DraftTree`."""
        begin, moves = self.position(ids, len(ids)), self._names.moves
        positions: list[int] = []
        ends: list[int] = []
        for token, parent in zip(tokens, parents, strict=True):
            positions.append(ends[parent] if parent >= 0 else begin)
            ends.append(positions[-1] + moves[token])
        return gumbel_of_each(self._key, positions, self._names.on_host[tokens])

    def __call__(self, scores: Tensor, ids: list[int], end: int) -> Tensor:
        """Sample a token for each row of processed scores: row `r` follows `ids[:end + r]`.

        `[rows, vocabulary]` -> `[rows]`; -1 if a row's scores allow no token.
        """
        best = self.noisy(scores, ids, end).max(-1)
        return best.indices.where(best.values > -torch.inf, -1)

    def noisy(self, scores: Tensor, ids: list[int], end: int) -> Tensor:
        """The scores with the noise of their tokens, of which the largest is chosen."""
        moves = (self._names.moves[id] for id in ids[end : end + len(scores) - 1])
        positions = list(accumulate(moves, initial=self.position(ids, end)))
        keys = step_keys(self._key, positions, scores.device)
        return scores + gumbel(keys, self._names.keys.to(scores.device))


@dataclass(frozen=True, slots=True)
class DraftShape:
    """The sampling options of the assistant: the target's, with a lower temperature.

    >>> scores, ids = DraftShape(top_k=2)(torch.tensor([0.0, 2.0, 1.0]))
    >>> ids.tolist()
    [1, 2]

    Attributes:
        temperature, top_k, top_p, min_p: as in transformers; `top_k` 0, `top_p` 1 and `min_p` 0
            have no effect.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def sharper(self, factor: float) -> "DraftShape":
        """The same options with the temperature multiplied by `factor`."""
        return replace(self, temperature=self.temperature * factor)

    def __call__(self, logits: Tensor, temperature: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores and ids of the likeliest tokens: `[..., vocabulary]` -> `[..., n]`, `[..., n]`.

        `temperature`: in place of the shape's own, without axes.
        """
        count = min(DRAFT_TOKENS, self.top_k or DRAFT_TOKENS, logits.shape[-1])
        logits, ids = logits.float().topk(count)
        scores = logits / (self.temperature if temperature is None else temperature)
        if self.top_p < 1 or self.min_p > 0:
            chances = scores.softmax(-1)
            # The first is always kept.
            out = chances.cumsum(-1) - chances >= self.top_p
            scores = scores.masked_fill(out | (chances < self.min_p * chances[..., :1]), -torch.inf)
        return scores, ids


class DraftSampling:
    """Samples the assistant's tokens of one generation, with the target's noise."""

    def __init__(
        self,
        names: TokenNames,
        sequence_key: int,
        shape: Callable[[], DraftShape],
        position: Callable[[], int],
    ) -> None:
        """Prepare to sample drafts.

        Args:
            names: of the assistant's vocabulary.
            sequence_key: the `Sampler`'s.
            shape: called at the start of each draft for its sampling options.
            position: called at the start of each draft for the position in bytes where it begins.
        """
        self._names = names
        self._key = sequence_key
        self._shape = shape
        self._position = position

    def __call__(self) -> "DraftedIds":
        """Begin a draft; returns what samples its ids, one after another."""
        shape, device = self._shape(), self._names.keys.device
        # Filled on the device: a tensor made of a list of the host's would wait for it.
        state = (
            torch.full((), self._key, dtype=torch.long, device=device),
            torch.full((1,), self._position(), dtype=torch.long, device=device),
            torch.full((), shape.temperature, dtype=torch.float32, device=device),
        )
        return DraftedIds(self._names, shape, state)


class DraftedIds(StaticChoose):
    """A `StaticChoose` that samples one draft: logits `[1, vocabulary]` -> an id `[1]`.

    Attributes:
        kind: see `StaticChoose`.
        state: the key of the generation, the position of the next id in bytes, and the temperature.
    """

    def __init__(
        self, names: TokenNames, shape: DraftShape, state: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        """`shape`: its temperature is that in `state`."""
        self.kind = "coupled", id(names), shape.top_k, shape.top_p, shape.min_p
        self.state = state
        self._names = names
        self._shape = shape

    def __call__(self, logits: Tensor) -> Tensor:
        key, position, temperature = self.state
        scores, ids = self._shape(logits[0], temperature)
        if found := attending.get():
            names = self._names.keys, self._names.lengths
            return found[0].draw(scores, ids, names, key, position)
        step = step_keys(key, position, logits.device)
        id = ids[(scores + gumbel(step, self._names.keys[ids])).argmax(-1)]
        position.add_(self._names.lengths[id])
        return id

    def copy(self) -> "DraftedIds":
        key, position, temperature = (each.clone() for each in self.state)
        return DraftedIds(self._names, self._shape, (key, position, temperature))


def draft_factor(history: Sequence[Round]) -> float:
    """The draft temperature, as a fraction of the target's, for the recent rate of acceptance.

    An assistant that is often wrong does better if it keeps to likely tokens: the fraction goes
    down to 0.5. One that is almost always right should sample as the target does: 1.0.

    >>> draft_factor([])
    0.7
    """
    lately = history[-8:]
    drafted = sum(done.drafted for done in lately)
    accepted = sum(done.drafted_accepted for done in lately)
    # The prior: two of five ids accepted.
    return 0.5 + 0.5 * (accepted + 2) / (drafted + 5)


def fresh_seed() -> int:
    """A random seed from torch's generator, small enough for every JSON reader to keep exactly."""
    return int(torch.randint(2**53, ()))


def sequence_key(seed: int, prompt: list[int], index: int) -> int:
    """The key of one generation: the same for the same arguments, unrelated for others.

    >>> sequence_key(1, [5, 6], 0) == sequence_key(1, [5, 6], 0) != sequence_key(1, [5, 6], 1)
    True
    """
    return digest(seed, prompt, index)
