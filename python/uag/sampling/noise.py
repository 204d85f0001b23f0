"""Gumbel noise that two vocabularies share: the same for the same string at the same position.

Adding independent Gumbel noise to log-probabilities and taking the largest samples exactly from the
distribution (Gumbel-max: Gumbel 1954; Maddison, Tarlow and Minka, "A* Sampling", 2014). Here the
noise is a function of a seed, a position in the output and a token's bytes. So a model with another
vocabulary can compute the noise that the target is going to use, and tends to sample the same
string.

The function is counter-based, without state: SplitMix64 (Steele, Lea and Flood, "Fast Splittable
Pseudorandom Number Generators", 2014) with David Stafford's mix 13 as its finaliser. A step's key
is the `position`-th output of a generator that starts from the generation's key. A token's noise is
the finaliser of step key xor token key. 64-bit integers wrap around in the same way on every device
of PyTorch.

Resolution: noise is float32 (some devices have nothing wider), made from 63 bits. Its upper tail,
with which an unlikely token wins, is resolved to 2**-24 of each probability, down to probabilities
of 2**-63 (noise of 43.7). Its lower tail ends at -2.81, the noise of a probability of 2**-24.
Noise is never infinite.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_HIGHEST = 2**63 - 1
_BELOW_ONE = 1 - 2**-24


def signed(value: int) -> int:
    """A number as a signed 64-bit integer (two's complement), as PyTorch stores it.

    >>> signed(2**64 - 1)
    -1
    """
    return (value + 2**63) % 2**64 - 2**63


def digest(*parts: object) -> int:
    """A signed 64-bit key for numbers, strings, bytes and lists of them: BLAKE2b of their `repr`.

    >>> digest(1, [2, 3]) == digest(1, [2, 3]) != digest(1, [2], 3)
    True
    """
    data = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(data, "little", signed=True)


def step_keys(
    sequence_key: int | Tensor, positions: Sequence[int] | Tensor, device: torch.device
) -> Tensor:
    """The key of each position in a generation's output: `[positions]`, int64.

    Those of a list of positions are computed on the host, which does not wait for the device.
    """
    if isinstance(positions, Tensor) or isinstance(sequence_key, Tensor):
        steps = torch.as_tensor(positions, dtype=torch.long, device=device)
        return _mix(steps * signed(_GAMMA) + sequence_key)
    keys: Tensor = cast("Any", torch).from_numpy(_steps(sequence_key, positions).view(np.int64))
    return keys.to(device, non_blocking=True)


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
    # Small values, which give large noise, keep all their digits in float32.
    chance = bits.to(torch.float32).mul_(2**-63).clamp_(2**-64, _BELOW_ONE)
    return chance.neg_().log1p_().neg_().log_().neg_()


def gumbel_of_each(sequence_key: int, positions: Sequence[int], tokens: Any) -> list[float]:
    """The noise of each token at a position of its own, on the host, to within rounding.

    `tokens`: `[tokens]`, an array of int64 with a key for each token.

    >>> key, token = digest("seed"), torch.tensor([digest("a")])
    >>> noise = float(gumbel(step_keys(key, [7], torch.device("cpu")), token))
    >>> abs(gumbel_of_each(key, [7], token.numpy())[0] - noise) < 1e-5
    True
    """
    bits = _mixed(_steps(sequence_key, positions) ^ tokens.view(np.uint64)) & np.uint64(_HIGHEST)
    chances = np.minimum(np.maximum(bits * 2.0**-63, 2**-64), _BELOW_ONE)
    return (-np.log(-np.log1p(-chances))).tolist()


def _steps(sequence_key: int, positions: Sequence[int]) -> Any:
    """`step_keys` as an array of uint64."""
    places: Any = np.array(positions, dtype=np.uint64)
    return _mixed(places * np.uint64(_GAMMA) + np.uint64(sequence_key % 2**64))


def _mixed(bits: Any) -> Any:
    """Stafford's mix 13 of an array of uint64."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        bits = (bits ^ bits >> np.uint64(shift)) * np.uint64(factor)
    return bits ^ bits >> np.uint64(31)


def _mix(bits: Tensor) -> Tensor:
    """Apply Stafford's mix 13 in place."""
    shifted = torch.empty_like(bits)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        bits.bitwise_xor_(_shift_right(bits, shift, shifted)).mul_(signed(factor))
    return bits.bitwise_xor_(_shift_right(bits, 31, shifted))


def _shift_right(bits: Tensor, count: int, out: Tensor) -> Tensor:
    """Shift right and fill with zeros, for negative numbers as well."""
    return torch.bitwise_right_shift(bits, count, out=out).bitwise_and_(2 ** (64 - count) - 1)
