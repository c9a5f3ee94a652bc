"""The network that a command works on: a bundle's folder or a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cstm.bench.predictors import Predictor


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `predictor_of`."""
    parser.add_argument("model", type=Path, metavar="BUNDLE|CHECKPOINT", help="a bundle's folder, .safetensors or .pth")
    parser.add_argument("--backend", metavar="B", help="a bundle's, see cstm doctor (default: auto)")
    parser.add_argument("--precision", metavar="P", help="a bundle's: fp32, fp16, bf16, int8 (default: the backend's)")
    parser.add_argument("--glove", type=Path, metavar="F", help="GloVe's text file, for a checkpoint that reads it")
    parser.add_argument("--tokenizer", type=Path, metavar="F", help="tokenizer.json, for a checkpoint that holds none")


def predictor_of(arguments: argparse.Namespace) -> Predictor:
    """The predictor that the command line names."""
    from cstm.bench.predictors import open_predictor

    words = arguments.glove, arguments.tokenizer
    return open_predictor(arguments.model, arguments.backend, arguments.precision, *words)
