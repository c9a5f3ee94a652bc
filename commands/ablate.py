"""`cstm ablate`: the supplement's ablations, trained alike and compared in one table. Resumable, row by row."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from cstm.commands.types import positive
from cstm.models.config import PRESETS
from cstm.training.options import TrainOptions

# Of the supplement, see bench.ablations.
ROWS = (
    "LGFS in {}",
    "LGFS in {5}",
    "LGFS in {5,4,3}",
    "LGFS in all",
    "Spa+CMAM",
    "Temp+CMAM",
    "Spa+Temp, CMAM off",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the ablations."""
    parser.add_argument("out", type=Path, help="folder of the runs and of ablations.md")
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="NAME", help="only these")
    parser.add_argument("--data", default="sprites", help="sprites, or the folder of a dataset (default: sprites)")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="default: tiny")
    parser.add_argument("--size", type=int, default=64, help="side of the frames (default: 64)")
    parser.add_argument("--steps", type=int, default=3000, help="updates of each row (default: 3000)")
    parser.add_argument("--limit", type=positive, metavar="N", help="evaluate on the first N samples")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--train", nargs=argparse.REMAINDER, default=[], help="further options of cstm train, last of all"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train and evaluate the rows that are not done yet, then print the table; 0."""
    from cstm.bench import ablations
    from cstm.commands import train

    parser = argparse.ArgumentParser(prog="cstm ablate --train")
    train.add_arguments(parser)
    words = [str(arguments.out)]
    for name in ("data", "size", "steps", "seed"):
        words += [f"--{name}", str(getattr(arguments, name))]
    given = parser.parse_args(words + arguments.train)
    options = TrainOptions(**{field.name: getattr(given, field.name) for field in fields(TrainOptions)})
    rows = [row for row in ablations.ROWS if not arguments.rows or row.name in arguments.rows]
    print(ablations.Ablate(arguments.out, arguments.preset, options, arguments.limit)(rows))
    return 0
