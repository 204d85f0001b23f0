"""Logits processors that requests ask for."""
