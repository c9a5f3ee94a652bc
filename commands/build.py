"""`cstm build`: a checkpoint -> a bundle: ONNX per component, FP16, INT8, engines, each verified."""

from __future__ import annotations

import argparse
from pathlib import Path

from cstm.commands.calibration_arguments import add_calibration_arguments, calibration_options
from cstm.commands.types import share
from cstm.errors import RequestError
from cstm.export.choices import ATTENTION, BACKENDS, PRECISIONS
from cstm.models.config import PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the build."""
    parser.add_argument(
        "--checkpoint", type=Path, help="our .safetensors or the authors' .pth; default: the shipped one"
    )
    parser.add_argument("--preset", choices=PRESETS, help="instead, a network with random weights")
    parser.add_argument("--output", type=Path, help="the bundle's folder; default build/<preset>")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=["fp32", "fp16"], help="default: fp32 fp16"
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default=BACKENDS[0], help="of engines: the first that can be built here, or none"
    )
    parser.add_argument(
        "--attention",
        choices=ATTENTION,
        default=ATTENTION[0],
        help="in engines, CMAM and LGFS as TensorRT's layers or as our kernels; auto: the faster, where a GPU is",
    )
    parser.add_argument(
        "--hardware-compatible",
        action="store_true",
        help="TensorRT engines for any GPU from Ampere on",
    )
    parser.add_argument(
        "--version-compatible",
        action="store_true",
        help="TensorRT engines for later versions of its major one too; they carry code: trust who built them",
    )
    parser.add_argument("--max-batch", type=int, default=4, metavar="N", help="most sentences in one inference")
    parser.add_argument("--glove", type=Path, help="GloVe's text file, for a checkpoint whose text encoder is the GRU")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json, for a checkpoint with a tokenizer of its own")
    add_calibration_arguments(parser)
    parser.add_argument("--plan", type=Path, metavar="F", help="which blocks are INT8, from cstm plan (default: all)")
    parser.add_argument(
        "--max-miou-drop", type=share, metavar="X", help="fail above it (default: FP16 0.001, INT8 0.005)"
    )
    parser.add_argument("--force", action="store_true", help="redo every step")


def run(arguments: argparse.Namespace) -> int:
    """Build as the command line says, and print the bundle's path; 0."""
    from cstm.calibration.plan import PrecisionPlan
    from cstm.export.builder import BuildBundle, BuildOptions
    from cstm.export.sources import Source

    source = Source(arguments.checkpoint, arguments.preset, arguments.glove, arguments.tokenizer)
    if arguments.max_batch < 1:
        raise RequestError(f"--max-batch {arguments.max_batch}: must be 1 or more")
    options = BuildOptions(
        source=source,
        output=(arguments.output or Path("build") / source.preset_name()).resolve(),
        precisions=tuple(p for p in PRECISIONS if p in arguments.precision),
        backend=arguments.backend,
        attention=arguments.attention,
        max_batch=arguments.max_batch,
        hardware_compatible=arguments.hardware_compatible,
        version_compatible=arguments.version_compatible,
        force=arguments.force,
        calibration=calibration_options(arguments),
        plan=PrecisionPlan.read(arguments.plan) if arguments.plan else None,
        max_drop=arguments.max_miou_drop,
    )
    print(BuildBundle(options)())
    return 0
