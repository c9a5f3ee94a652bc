"""The command line's calibration options. Free of torch and of datasets."""

from __future__ import annotations

import argparse

from cstm.calibration.samples import METHODS, CalibrationOptions
from cstm.commands.types import finite


def add_calibration_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of CalibrationOptions."""
    defaults = CalibrationOptions()
    group = parser.add_argument_group("calibration, for INT8")
    group.add_argument("--data", default=defaults.data, metavar="sprites|DIR", help=f"default: {defaults.data}")
    group.add_argument(
        "--samples", type=int, default=defaults.samples, metavar="N", help=f"default: {defaults.samples}"
    )
    group.add_argument("--seed", type=int, default=defaults.seed, metavar="S", help="chooses them; default: 0")
    group.add_argument("--method", choices=METHODS, default=defaults.method, help=f"default: {defaults.method}")
    group.add_argument(
        "--percentile",
        type=finite,
        default=defaults.percentile,
        help=f"of magnitudes kept; default: {defaults.percentile}",
    )
    group.add_argument("--force-few", action="store_true", help="allow fewer than 32 samples")


def calibration_options(arguments: argparse.Namespace) -> CalibrationOptions:
    """The options that a command line with `add_calibration_arguments` gave."""
    given = (
        arguments.data,
        arguments.samples,
        arguments.seed,
        arguments.method,
        arguments.percentile,
        arguments.force_few,
    )
    return CalibrationOptions(*given)
