"""Every decoder of the installed transformers, tiny: what the decoder's text is next to `generate`'s."""
