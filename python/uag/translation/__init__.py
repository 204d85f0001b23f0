"""Exact, incremental translation between the ids of two tokenizers."""
