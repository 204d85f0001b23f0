"""What does it cost to sample a token: noise by hash and an argmax, beside torch's own sampling?

python -m pytest benches/test_noise.py --benchmark-columns=median,iqr,rounds
"""

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from uag.sampling.noise import gumbel, step_keys

CPU = torch.device("cpu")


def by_noise(scores: Tensor, tokens: Tensor) -> Tensor:
    """As the target samples: one row for each position."""
    keys = step_keys(7, range(len(scores)), CPU)
    return (scores + gumbel(keys, tokens)).argmax(-1)


def by_multinomial(scores: Tensor, _: Tensor) -> Tensor:
    """As transformers samples."""
    return torch.multinomial(scores.softmax(-1), 1)


@pytest.mark.parametrize("vocabulary", [32_000, 128_256, 256_000])
@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("sample", [by_noise, by_multinomial])
def test_sample(
    benchmark: BenchmarkFixture,
    sample: Callable[[Tensor, Tensor], Tensor],
    vocabulary: int,
    rows: int,
) -> None:
    torch.manual_seed(0)
    scores = torch.randn(rows, vocabulary) * 3
    tokens = torch.randint(-(2**63), 2**63 - 1, (vocabulary,))
    benchmark.group = f"{vocabulary:,} tokens, {rows} row{'s' * (rows > 1)}"
    benchmark(sample, scores, tokens)
