"""`cstm eval`: a bundle or a checkpoint on a dataset's annotated samples."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cstm.commands.model_arguments import add_model_arguments, predictor_of
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import atomic_path

if TYPE_CHECKING:
    from cstm.bench.predictors import Predictor

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
    parser.add_argument("--smooth", action="store_true", help="mend masks by the frames around, as in cstm segment")
    parser.add_argument(
        "--presence",
        action="store_true",
        help="instead: does a bundle tell on sprites who is not there? --limit: clips (default: 300)",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate as the command line says, and print the table; 0. Errors as in `open_predictor`, `evaluate` and
    `presence`."""
    from cstm.bench.metrics import check_protocol

    check_protocol(arguments.protocol)
    with (
        atomic_path(arguments.json) if arguments.json else nullcontext() as file,
        predictor_of(arguments) as predictor,
    ):
        figures = _presence(arguments, predictor) if arguments.presence else _accuracy(arguments, predictor)
        if file:
            file.write_text(json.dumps(figures, indent=1, allow_nan=False), encoding="utf-8")
    return 0


def _accuracy(arguments: argparse.Namespace, predictor: Predictor) -> dict:
    from cstm.bench.evaluate import evaluate
    from cstm.bench.evaluation_table import table
    from cstm.bench.metrics import summarise
    from cstm.data.open import SPRITES, open_dataset

    cutouts = {"cutouts": str(arguments.cutouts.resolve())} if arguments.cutouts else {}
    dataset = open_dataset(arguments.data, arguments.split, predictor.config, arguments.window, **cutouts)
    protocol, smoothing = arguments.protocol, arguments.smooth
    outcomes = evaluate(predictor, dataset, protocol, limit=arguments.limit, smoothing=smoothing)
    figures = summarise(outcomes, protocol)
    make_console().print(table(figures))
    window = f"{arguments.window} window" + (", mended by the frames around" if smoothing else "")
    print(f"{figures['n']} samples of {arguments.data} {arguments.split}, {window}, on {predictor.name}")
    if arguments.data != SPRITES:
        print(dataset.check_official_counts())
    return figures | ({"smoothing": True} if smoothing else {})


def _presence(arguments: argparse.Namespace, predictor: Predictor) -> dict:
    from cstm.bench.evaluation_table import presence_table
    from cstm.bench.machine import machine
    from cstm.bench.presence import CLIPS, presence
    from cstm.data.open import SPRITES

    if arguments.data != SPRITES:
        raise RequestError(f"--presence --data {arguments.data}: only sprites know who is absent; --data sprites")
    figures = presence(predictor, CLIPS if arguments.limit is None else arguments.limit, arguments.split)
    make_console().print(presence_table(figures))
    print(f"{figures['clips']} clips of sprites {arguments.split}, three sentences each, on {predictor.name}")
    return figures | {"network": predictor.name, "split": arguments.split, "machine": machine()}
