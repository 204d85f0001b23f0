"""The `uag` command."""

from uag.cli.main import app, main

__all__ = ["app", "main"]
