"""Compares the core with the installed `tokenizers` library, text by text."""
