"""`cstm doctor`: what this machine can run, and what to install for more."""

from __future__ import annotations

import argparse

from cstm.console import make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`cstm doctor` takes nothing."""


def run(_: argparse.Namespace) -> int:
    """Print the tables; 0."""
    from cstm.runtime import doctor

    console = make_console()
    for name, value in doctor.machine().items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(doctor.backend_table())
    console.print(doctor.tool_table())
    return 0
