"""Batches: several generations at the same time, which share forward passes."""
