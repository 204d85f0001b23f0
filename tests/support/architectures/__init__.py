"""Every decoder of the installed transformers, tiny: its text under uag beside `generate`'s."""
