"""A target and an assistant side by side, before anything runs."""
