"""Noise for each token at each place: a function of keys, with the distribution it must have."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.noise import U64, mixed, noise
from uag.sampling.noise import digest, gumbel, step_keys

CPU = torch.device("cpu")


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
)
def test_noise_is_that_of_plain_arithmetic(
    sequence: int, positions: list[int], tokens: list[int]
) -> None:
    keys = step_keys(sequence, positions, CPU)
    assert torch.equal(keys, step_keys(sequence, torch.tensor(positions), CPU))
    found = gumbel(keys, torch.tensor(tokens))
    expected = [[noise(sequence, position, token) for token in tokens] for position in positions]
    assert torch.allclose(found.double(), torch.tensor(expected, dtype=torch.double), atol=1e-5)


def test_noise_is_finite_at_both_ends() -> None:
    # The finaliser is a bijection; these are the inputs that it takes to the extremes.
    def unmixed(bits: int) -> int:
        for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
            whole = bits
            for _ in range(64 // shift + 1):
                whole = bits ^ (whole >> shift)
            bits = whole * pow(factor, -1, U64) % U64
        return bits

    extremes = [0, 1, 2**63 - 1, 2**63, U64 - 1]
    assert [mixed(unmixed(bits)) for bits in extremes] == extremes
    tokens = torch.tensor([unmixed(bits) - U64 * (unmixed(bits) >= 2**63) for bits in extremes])
    found = gumbel(torch.tensor([0]), tokens)[0]
    assert found.isfinite().all()
    assert found.max() > 43 and found.min() > -2.9


def test_noise_has_gumbel_moments_and_no_correlations() -> None:
    keys = torch.tensor([digest("token", id) for id in range(1000)])
    found = gumbel(step_keys(digest("text"), range(1000), CPU), keys).double()
    assert abs(found.mean() - 0.5772) < 0.005
    assert abs(found.var() - math.pi**2 / 6) < 0.01
    for other in (found.roll(1, 0), found.roll(1, 1), found.T):
        both = torch.stack([found.flatten(), other.flatten()])
        assert abs(torch.corrcoef(both)[0, 1]) < 0.005 or torch.equal(other, found)
