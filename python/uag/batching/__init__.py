"""Several generations at once, which share forward passes."""
