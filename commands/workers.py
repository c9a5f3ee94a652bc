"""`cstm workers`: how much sooner many workers are done with a video than one process."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.commands.types import positive
from cstm.console import make_console
from cstm.files import write_json

if TYPE_CHECKING:
    from cstm.bench.workers import Run

ROUNDS, FRAMES = 5, 750


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument("--backend", default="auto", help="see cstm doctor (default: auto)")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="default: 2")
    parser.add_argument("--video", type=Path, metavar="F", help="default: the demo clip in a loop, as 1080p")
    parser.add_argument("--frames", type=positive, default=FRAMES, metavar="N", help=f"of the loop (default: {FRAMES})")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure as the command line says; 0, or 1 where the masks are not the same."""
    from statistics import median

    from rich.table import Table

    from cstm.bench.machine import machine
    from cstm.bench.workers import workers_cost

    console = make_console(stderr=True)
    with console.status("segmenting a clip again and again, some minutes"):
        cost = workers_cost(
            arguments.bundle, arguments.backend, arguments.workers, arguments.video, arguments.frames, arguments.rounds
        )
    shown = Table(f"{cost.frames} frames of {cost.size[1]}x{cost.size[0]}, masks", "wall", "processor", "load")
    for title, runs in (("one process, all cores", cost.one), (f"{arguments.workers} workers", cost.many)):
        seconds, processor, load = (median(values) for values in zip(*map(_numbers, runs), strict=True))
        shown.add_row(title, f"{seconds:.1f} s", f"{processor:.1f} s", f"{load:.1f}")
    shown.add_row("one ÷ workers", f"{cost.faster:.2f} ×", f"{cost.cheaper:.2f} ×", "")
    make_console().print(shown, "the masks are the same" if cost.same else "THE MASKS DIFFER")
    if arguments.json:
        told = {"backend": arguments.backend, "workers": arguments.workers, "machine": machine()}
        write_json(arguments.json, told | {"faster": cost.faster, "cheaper": cost.cheaper, "cost": asdict(cost)})
    return 0 if cost.same else 1


def _numbers(run: Run) -> tuple[float, float, float]:
    return run.seconds, run.processor, run.load
