"""Pairs of tokenizers, each with an architecture, that many tests go through."""

from itertools import cycle

from tests.support.models import ARCHITECTURES

# (target's tokenizer, assistant's tokenizer)
PAIRS = [
    ("gpt2", "llama2"),
    ("llama2", "gpt2"),
    ("llama3", "qwen2"),
    ("qwen2", "bytes"),
    ("bytes", "llama3"),
    ("llama2", "bytes"),
    ("gpt2", "gpt2"),
    ("odd", "gpt2"),
    ("llama2", "odd"),
    ("llama3", "llama2"),
]

# Every architecture once, every tokenizer pair at least once.
CASES = list(zip(ARCHITECTURES, cycle(PAIRS), strict=False))

READS_TOGETHER = [case for case in CASES if case[0] != "mamba"]
