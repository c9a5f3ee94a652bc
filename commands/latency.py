"""`cstm latency`: how fast a bundle is, per component and end to end. Also `python bench/latency.py`."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import atomic_path

LEAST_REPEATS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument("--backends", nargs="+", metavar="B", help="only these; each must run here")
    parser.add_argument("--precisions", nargs="+", metavar="P", help="only these")
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS, help=f"at least {LEAST_REPEATS}")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows, the machine and the versions")


def run(arguments: argparse.Namespace) -> int:
    """Measure as the command line says; 0."""
    from cstm.bench.latency import latency, with_eager
    from cstm.bench.latency_table import table
    from cstm.bench.machine import machine
    from cstm.bench.memory import peak_memory
    from cstm.runtime.bundle import Bundle

    if arguments.repeats < LEAST_REPEATS:
        raise RequestError(f"--repeats {arguments.repeats}: percentiles need at least {LEAST_REPEATS}")
    with atomic_path(arguments.json) if arguments.json else nullcontext() as file:
        bundle = Bundle(arguments.bundle)
        pairs = with_eager(bundle, arguments.backends, arguments.precisions)
        memory = {
            (found.name, precision): peak_memory(bundle.path, found.name, precision) for found, precision in pairs
        }
        rows = latency(bundle, pairs, arguments.repeats, show=True)
        make_console().print(table(rows, memory))
        if file:
            record = {
                "machine": machine(),
                "versions": {found.name: found.version() for found, _ in pairs},
                "preset": bundle.config.preset,
                "peak_bytes": [{"backend": n, "precision": p, "bytes": used} for (n, p), used in memory.items()],
                "rows": [asdict(row) for row in rows],
            }
            file.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 0
