"""Texts that a target writes, for trainers to teach an assistant with."""
