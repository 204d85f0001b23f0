"""Benchmarks of uag: see README.md for the question that each answers."""
