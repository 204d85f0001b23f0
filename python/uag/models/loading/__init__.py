"""Models and tokenizers by name: what is loaded, with which options, and what was wrong."""
