"""`cstm calibrate`: a bundle's ranges over real samples, audited against FP16's limits."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from cstm.commands.calibration_arguments import add_calibration_arguments, calibration_options
from cstm.console import make_console
from cstm.files import write_json
from cstm.models.contract import contract
from cstm.progress import progress
from cstm.runtime.bundle import Bundle, onnx_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of calibration."""
    parser.add_argument("bundle", type=Path, help="a bundle with FP32 models")
    parser.add_argument("--plot", type=Path, metavar="F", help="draw every range against FP16's limits, as PNG")
    parser.add_argument("--json", type=Path, metavar="F", help="write the ranges and the findings")
    add_calibration_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure (or take from the cache), audit and print the table; 0."""
    from cstm.calibration.audit import audit, execution_order
    from cstm.calibration.audit_plot import draw
    from cstm.calibration.audit_table import table
    from cstm.calibration.quantiser import Quantiser

    options = calibration_options(arguments)
    bundle = Bundle(arguments.bundle)
    models = {name: bundle.file(onnx_file(name, "fp32")) for name in contract(bundle.config)}
    with progress("calibrating", options.samples) as bar:
        ranges = execution_order(Quantiser(bundle.config, models, bundle.reader, options, bar.to).ranges, models)
    findings = audit(ranges, models)
    make_console().print(table(ranges, findings))
    if arguments.plot:
        draw(ranges, findings, arguments.plot)
        print(arguments.plot)
    if arguments.json:
        plain = {name: {tensor: asdict(r) for tensor, r in tensors.items()} for name, tensors in ranges.items()}
        write_json(arguments.json, {"findings": [asdict(finding) for finding in findings], "ranges": plain})
    print(
        f"{options.samples} samples of {options.data}, {options.method}: {len(findings)} activations FP16 cannot hold"
    )
    return 0
