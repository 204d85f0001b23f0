"""Adapters of PEFT: which act in a model, and how a folder with one is loaded."""
