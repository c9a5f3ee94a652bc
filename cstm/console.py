"""Where commands print: tables to standard output, progress to standard error."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH_OF_FILES = 140


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or, where the output goes to a file, wide enough for our tables."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH_OF_FILES)
