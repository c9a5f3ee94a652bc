"""`cstm naive`: what cutting and rewriting the network is worth, against the network as it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import write_json

PEERS = ("onnxruntime", "openvino", "torch_compile")
REPEATS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=PEERS,
        default=PEERS[:2],
        help="what runs the whole network: a backend, against ours on it, or torch_compile, against ours on OpenVINO",
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N", help=f"default: {REPEATS}")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare as the command line says; 0."""
    from rich.table import Table

    from cstm.bench.naive import compare
    from cstm.runtime.bundle import Bundle

    if arguments.repeats < 1:
        raise RequestError(f"--repeats {arguments.repeats}: must be 1 or more")
    bundle = Bundle(arguments.bundle)
    shown = Table("peer", "whole network ms", "chain ms", "×", "largest difference of logits")
    rows = [{"peer": name} | compare(bundle, name, arguments.repeats) for name in arguments.peers]
    for row in rows:
        figures = f"{row['naive_ms']:.1f}", f"{row['chain_ms']:.1f}", f"{row['ratio']:.2f}", f"{row['difference']:.1e}"
        shown.add_row(row["peer"], *figures)
    make_console().print(shown)
    if arguments.json:
        write_json(arguments.json, {"bundle": bundle.config.preset, "repeats": arguments.repeats, "rows": rows})
    return 0
