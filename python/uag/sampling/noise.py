"""Gumbel noise that two vocabularies share: the same for the same string at the same place.

Adding independent Gumbel noise to log-probabilities and taking the largest draws exactly from the
distribution (Gumbel-max: Gumbel 1954; Maddison, Tarlow and Minka, "A* Sampling", 2014). Here the
noise is a function of a seed, a place in the text and a token's bytes, so a model with another
vocabulary can look up the noise that the target is going to use, and tends to draw the same string.

The function is counter-based, without state: SplitMix64 (Steele, Lea and Flood, "Fast Splittable
Pseudorandom Number Generators", 2014) with David Stafford's mix 13 as its finaliser. A step's key
is the `position`-th output of the generator that a sequence's key starts; a token's noise is the
finaliser of step key xor token key. 64-bit integers wrap around alike on every device of PyTorch.

Resolution: noise is float32 (some devices have nothing wider), made from 63 bits. Its upper tail,
with which an unlikely token wins, is resolved to 2**-24 of each probability, down to probabilities
of 2**-63 (noise of 43.7). Its lower tail ends at -2.81, the noise of a probability of 2**-24.
Nothing is infinite.
"""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_HIGHEST = 2**63 - 1
_BELOW_ONE = 1 - 2**-24


def signed(value: int) -> int:
    """The 64-bit two's complement of a number: how PyTorch holds it.

    >>> signed(2**64 - 1)
    -1
    """
    return (value + 2**63) % 2**64 - 2**63


def digest(*parts: object) -> int:
    """A 64-bit key (signed) of numbers, strings, bytes and lists of them: BLAKE2b of their `repr`.

    >>> digest(1, [2, 3]) == digest(1, [2, 3]) != digest(1, [2], 3)
    True
    """
    data = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(data, "little", signed=True)


def step_keys(sequence_key: int, positions: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    """The key of each place in a text: `[positions]`, int64."""
    places = torch.as_tensor(positions, dtype=torch.long, device=device)
    return _mix(places * signed(_GAMMA) + sequence_key)


def gumbel(steps: Tensor, tokens: Tensor) -> Tensor:
    """The noise of every token at every step: `[steps, tokens]`, float32, finite.

    Args:
        steps: `[steps]`, int64: keys from `step_keys`.
        tokens: `[tokens]`, int64: a key for each token.

    >>> keys = step_keys(digest("seed"), [0, 1], torch.device("cpu"))
    >>> gumbel(keys, torch.tensor([digest("a"), digest("b"), digest("c")])).shape
    torch.Size([2, 3])
    """
    bits = _mix(steps[:, None] ^ tokens).bitwise_and_(_HIGHEST)
    # Small values, which make large noise, keep all their digits.
    chance = bits.to(torch.float32).mul_(2**-63).clamp_(2**-64, _BELOW_ONE)
    return chance.neg_().log1p_().neg_().log_().neg_()


def _mix(bits: Tensor) -> Tensor:
    """Stafford's mix 13, in place."""
    shifted = torch.empty_like(bits)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        bits.bitwise_xor_(_shift_right(bits, shift, shifted)).mul_(signed(factor))
    return bits.bitwise_xor_(_shift_right(bits, 31, shifted))


def _shift_right(bits: Tensor, count: int, out: Tensor) -> Tensor:
    """A shift that brings in zeros, also where the sign is set."""
    return torch.bitwise_right_shift(bits, count, out=out).bitwise_and_(2 ** (64 - count) - 1)
