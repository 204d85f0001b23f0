"""Noise in plain arithmetic, and how near a choice comes to another one."""

import math

import torch
from transformers import LogitsProcessorList, TopPLogitsWarper

U64 = 2**64


def mixed(bits: int) -> int:
    """Stafford's mix 13 over Python's numbers."""
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % U64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % U64
    return bits ^ (bits >> 31)


def noise(sequence: int, position: int, token: int) -> float:
    """One token's noise at one place, in double precision."""
    bits = mixed(mixed((sequence + position * 0x9E3779B97F4A7C15) % U64) ^ token % U64)
    chance = max(bits % 2**63 / 2**63, 2**-64)
    return -math.log(-math.log1p(-min(chance, 1 - 2**-24)))


def top_p_edge(processors: LogitsProcessorList, ids: torch.Tensor, logits: torch.Tensor) -> float:
    """Between top-p's limit and the nearest sum of probabilities."""
    scores = logits.clone()
    for processor in processors:
        if isinstance(processor, TopPLogitsWarper):
            sums = scores[0].softmax(-1).sort().values.cumsum(-1)
            return float((sums - (1 - processor.top_p)).abs().min())
        scores = processor(ids, scores)
    return torch.inf
