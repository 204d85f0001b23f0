"""The core against the installed `tokenizers`, text by text."""
