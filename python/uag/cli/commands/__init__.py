"""The commands of `uag`, each in its own module."""
