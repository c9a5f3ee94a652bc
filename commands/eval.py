"""`cstm eval`: a bundle or a checkpoint on a dataset's annotated samples."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path

from cstm.commands.model_arguments import add_model_arguments, predictor_of
from cstm.console import make_console
from cstm.files import atomic_path

PROTOCOLS, WINDOWS = ("authors", "mttr"), ("centred", "authors")  # as in bench.metrics and data.window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the evaluation."""
    add_model_arguments(parser)
    parser.add_argument("--data", required=True, metavar="sprites|DIR", help="the generated sprites, or a data set")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help=f"default: {PROTOCOLS[0]}")
    parser.add_argument("--window", choices=WINDOWS, default=WINDOWS[0], help=f"default: {WINDOWS[0]}")
    parser.add_argument(
        "--cutouts", type=Path, metavar="DIR", help="photographs that act instead of the sprites' emoji"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate as the command line says, and print the table; 0. Errors as in `open_predictor` and `evaluate`."""
    from cstm.bench.evaluate import evaluate
    from cstm.bench.evaluation_table import table
    from cstm.bench.metrics import check_protocol, summarise
    from cstm.data.open import SPRITES, open_dataset

    check_protocol(arguments.protocol)
    with (
        atomic_path(arguments.json) if arguments.json else nullcontext() as file,
        predictor_of(arguments) as predictor,
    ):
        cutouts = {"cutouts": str(arguments.cutouts.resolve())} if arguments.cutouts else {}
        dataset = open_dataset(arguments.data, arguments.split, predictor.config, arguments.window, **cutouts)
        figures = summarise(evaluate(predictor, dataset, arguments.protocol, limit=arguments.limit), arguments.protocol)
        make_console().print(table(figures))
        window = f"{arguments.window} window"
        print(f"{figures['n']} samples of {arguments.data} {arguments.split}, {window}, on {predictor.name}")
        if arguments.data != SPRITES:
            print(dataset.check_official_counts())
        if file:
            file.write_text(json.dumps(figures, indent=1, allow_nan=False), encoding="utf-8")
    return 0
