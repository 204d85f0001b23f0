"""Benchmarks: times several methods of decoding on the same prompts."""
