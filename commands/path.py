"""`cstm path`: what a frame costs from the video's file to the masks', beside the network in it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.commands.types import positive
from cstm.console import make_console
from cstm.files import write_json

ROUNDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument("--backend", default="auto", help="see cstm doctor (default: auto)")
    parser.add_argument("--precision", help="default: the backend's")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure as the command line says; 0."""
    import os

    from rich.table import Table

    from cstm.bench.machine import machine
    from cstm.bench.path import LONGER, path_cost
    from cstm.runtime.segmenter import Segmenter

    threads, console = os.cpu_count() or 1, make_console(stderr=True)
    with Segmenter(arguments.bundle, arguments.backend, arguments.precision) as segmenter:
        name, precision = segmenter.backend.name, segmenter.precision
        with console.status(f"measuring {name} in {precision}, a few minutes"):
            cost = path_cost(segmenter, arguments.rounds, threads)
    shown = Table("1920x1080, one sentence", "", "÷ network", title=f"{name} {precision}")
    for part, milliseconds in (
        ("network", cost.network_ms),
        ("each further sentence", cost.further_ms),
        ("drawing two sentences", cost.draw_ms),
        ("to a masks' file", cost.masks_ms),
        ("to an overlay", cost.overlay_ms),
    ):
        shown.add_row(part, f"{milliseconds:.1f} ms a frame", f"{milliseconds / cost.network_ms:.2f}")
    workers = f"{cost.one_worker:.1f} → {cost.workers:.1f} frames/s"
    shown.add_row(f"1 worker → {threads} of 1 thread", workers, f"{cost.workers / cost.one_worker:.2f} ×")
    memory = f"{cost.peak_short / 1e6:.0f} → {cost.peak_long / 1e6:.0f} MB"
    shown.add_row(f"peak memory, {LONGER} × as long", memory, f"{cost.peak_long / cost.peak_short:.2f} ×")
    make_console().print(shown)
    if arguments.json:
        told = {"backend": name, "precision": precision, "rounds": arguments.rounds, "machine": machine()}
        write_json(arguments.json, told | {"cost": asdict(cost)})
    return 0
