"""`cstm soak`: streams watched for a long time."""

from __future__ import annotations

import argparse
from pathlib import Path

from cstm.commands.bundle_arguments import add_bundle_argument
from cstm.commands.types import finite, positive
from cstm.console import make_console
from cstm.files import write_json

CLIPS = 200
WHAT = {
    "live": "a camera of 25 frames a second: ages of masks, and what is dropped",
    "fast": "the same camera, sending twice as fast as the network is",
    "losses": "a camera that falls silent and comes back, 20 times",
    "threads": "one segmenter used by 1, 2 and 4 threads",
    "between": "held and moved masks against true ones, on sprites",
    "memory": "a long video: whether memory grows",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_bundle_argument(parser, "bundle")
    parser.add_argument("what", choices=WHAT, help="; ".join(f"{name}: {told}" for name, told in WHAT.items()))
    parser.add_argument("--backend", default="auto", help="see cstm doctor (default: auto)")
    parser.add_argument("--precision", help="default: the backend's")
    parser.add_argument("--minutes", type=finite, default=10.0, metavar="M", help="of live, fast, memory (default: 10)")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="of memory: segment every N-th frame")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Soak as the command line says; 0."""
    import os

    from cstm.bench import soak
    from cstm.bench.machine import machine
    from cstm.runtime.segmenter import Segmenter

    console = make_console(stderr=True)
    with Segmenter(arguments.bundle, arguments.backend, arguments.precision) as segmenter, console.status("soaking"):
        runs = {
            "live": lambda: soak.live(segmenter, arguments.minutes),
            "fast": lambda: soak.fast(segmenter, arguments.minutes),
            "losses": lambda: soak.losses(segmenter),
            "threads": lambda: soak.threads(segmenter),
            "between": lambda: _between(segmenter.config.size),
            "memory": lambda: soak.memory(segmenter, arguments.minutes, arguments.every),
        }
        load = os.getloadavg()[0]
        found = runs[arguments.what]()
        told = {"what": arguments.what, "backend": segmenter.backend.name, "precision": segmenter.precision}
    told |= {"load_before": round(load, 2), "machine": machine()}
    for name, value in found.items():
        make_console().print(f"{name:22} {round(value, 3) if isinstance(value, float) else value}", highlight=False)
    if arguments.json:
        write_json(arguments.json, told | {"found": found})
    return 0


def _between(size: int) -> dict:
    from cstm.bench.between import between  # late: it draws, which no other soak does

    return between(CLIPS, size)
