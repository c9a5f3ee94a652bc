"""`cstm parity`: a bundle against PyTorch, on every backend and precision that runs here."""

from __future__ import annotations

import argparse
from pathlib import Path

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `cstm parity`."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument("--backends", nargs="+", metavar="B", help="only these; each must run here")
    parser.add_argument("--precisions", nargs="+", metavar="P", help="only these")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare as the command line says; 0, or 1 where something is out of tolerance."""
    from cstm.bench.parity import parity, to_json
    from cstm.bench.parity_table import table
    from cstm.runtime.bundle import Bundle

    bundle = Bundle(arguments.bundle)
    console = make_console(stderr=True)
    with console.status("comparing with PyTorch") as status:
        report = lambda row: status.update(f"{row.backend} {row.precision} {row.part}")  # noqa: E731
        rows, reasons = parity(bundle, arguments.backends, arguments.precisions, report)
    make_console().print(table(rows))
    for reason in reasons.values():
        print(f"left out {reason}")
    if arguments.json:
        write_json(arguments.json, to_json(rows))
    if not rows:
        raise RequestError("no backend and precision to compare; see cstm doctor")
    failed = sum(not row.passed for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} within tolerance")
    return 1 if failed else 0
