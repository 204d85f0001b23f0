"""The `uag` command."""

from uag.cli.main import main as main
