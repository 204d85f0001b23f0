"""Compares a target and an assistant before any model runs: facts, costs and advice."""
