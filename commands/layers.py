"""`cstm layers`: the layers of a bundle's engines and what they move, without a GPU."""

from __future__ import annotations

import argparse
from pathlib import Path

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import write_json

PRECISIONS = ("fp32", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16", help="default: fp16")
    parser.add_argument("--parts", nargs="+", metavar="P", help="components, or frame_graph (default: all)")
    parser.add_argument("--plugins", action="store_true", help="with our kernels for CMAM and LGFS")
    parser.add_argument("--each", action="store_true", help="print every layer")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures")


def run(arguments: argparse.Namespace) -> int:
    """Build and print; 0."""
    from rich.table import Table

    from cstm.bench.engine_layers import engine_layers, summary
    from cstm.graph.qdq import stored_as
    from cstm.models.contract import parts
    from cstm.runtime.bundle import Bundle

    bundle = Bundle(arguments.bundle)
    known, stored = parts(bundle.config), stored_as(arguments.precision, "tensorrt")
    wanted = arguments.parts or list(known)
    if unknown := set(wanted) - set(known):
        raise RequestError(f"no part {', '.join(sorted(unknown))}, choose from {', '.join(known)}")
    shown = Table("part", "layers", "MB a frame", "convolutions", "only moving", "MB", title=arguments.precision)
    rows = []
    for name in wanted:
        with make_console(stderr=True).status(f"building {name}"):
            layers = engine_layers(bundle.model(name, stored), known[name], bundle.max_batch, arguments.plugins)
        row = summary(layers)
        rows.append({"part": name} | row)
        shown.add_row(name, *(f"{value:g}" for value in row.values()))
        if arguments.each:
            for one in layers:
                types = " → ".join(" ".join(side) for side in one.types)
                print(f"{name} {one.kind} {one.name} {one.read / 1e6:.3f} → {one.written / 1e6:.3f} MB {types}")
    make_console().print(shown)
    if arguments.json:
        told = {"bundle": bundle.config.preset, "precision": arguments.precision, "plugins": arguments.plugins}
        write_json(arguments.json, told | {"rows": rows})
    return 0
