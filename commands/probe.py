"""`cstm probe`: whether a network listens to the sentence and watches the motion."""

from __future__ import annotations

import argparse
from pathlib import Path

from cstm.commands.model_arguments import add_model_arguments, predictor_of
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the probes."""
    add_model_arguments(parser)
    parser.add_argument("--split", default="test", help="test or test-style (default: test)")
    parser.add_argument("--clips", type=int, default=300, metavar="N", help="clips in each probe (default: 300)")
    parser.add_argument("--cutouts", type=Path, metavar="DIR", help="listen to pairs of photographic cut-outs as well")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Probe as the command line says; 0."""
    from rich.table import Table

    from cstm.bench.probes import listening, watching
    from cstm.data.sprites.cutouts import Cutouts

    if arguments.clips < 1:
        raise RequestError(f"--clips {arguments.clips}: must be 1 or more")
    with predictor_of(arguments) as predictor:
        figures = {
            "listening": listening(predictor, arguments.clips, arguments.split),
            "watching": watching(predictor, arguments.clips, arguments.split),
        }
        if arguments.cutouts:
            cutouts = Cutouts(arguments.cutouts, arguments.split)
            figures["listening, cut-outs"] = listening(predictor, arguments.clips, arguments.split, cutouts)
    shown = Table("probe", "figure", "value")
    for probe, values in figures.items():
        for name, value in values.items():
            shown.add_row(probe, name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
    make_console().print(shown)
    if arguments.json:
        write_json(arguments.json, figures)
    return 0
