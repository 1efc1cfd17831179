"""The command line: one file per command, and the only place that prints or exits."""

from builder.cli.main import main

__all__ = ["main"]
