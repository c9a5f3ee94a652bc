"""`cstm plan`: the fastest INT8 plan that keeps the masks."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from cstm.commands.calibration_arguments import add_calibration_arguments, calibration_options
from cstm.commands.types import positive, share
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.models.contract import contract
from cstm.progress import progress
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle, onnx_file

DEFAULT_BACKEND, DEFAULT_CLIPS, DEFAULT_DROP = "openvino", 192, 0.005


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the planner."""
    parser.add_argument("bundle", type=Path, help="a bundle with FP32 models")
    parser.add_argument(
        "--max-miou-drop", type=share, default=DEFAULT_DROP, metavar="X", help=f"default: {DEFAULT_DROP}"
    )
    parser.add_argument("--backend", default=DEFAULT_BACKEND, metavar="B", help=f"default: {DEFAULT_BACKEND}")
    parser.add_argument("--clips", type=positive, default=DEFAULT_CLIPS, metavar="N", help="held-out clips to judge on")
    parser.add_argument("--output", type=Path, default=Path("plan.json"), metavar="F", help="default: plan.json")
    parser.add_argument("--plot", type=Path, metavar="F", help="mean IoU against latency, as PNG")
    add_calibration_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search as the command line says; write the plan and print what was measured; 0."""
    from cstm.calibration.held_out import HELD_OUT_SEED, HeldOut
    from cstm.calibration.plan_plot import draw
    from cstm.calibration.plan_table import table
    from cstm.calibration.quantiser import Quantiser
    from cstm.calibration.search import SearchPlan, check_request
    from cstm.export.open_engine import OpenEngine
    from cstm.runtime.backends.open_model import OPEN_MODEL

    options = calibration_options(arguments)
    check_request(arguments.backend, arguments.max_miou_drop)
    backend(arguments.backend).require()
    bundle = Bundle(arguments.bundle)
    if not bundle.trained:
        raise RequestError(f"{bundle.path}: random weights have no accuracy to plan for; build INT8 without a plan")
    models = {name: bundle.file(onnx_file(name, "fp32")) for name in contract(bundle.config)}
    judged = replace(options, samples=arguments.clips, seed=HELD_OUT_SEED, force=True)
    with progress("calibrating", options.samples) as bar:
        quantiser = Quantiser(bundle.config, models, bundle.reader, options, bar.to)
        _ = quantiser.ranges
    open_model = OPEN_MODEL.get(arguments.backend) or OpenEngine(arguments.backend)
    with progress("trying") as bar, tempfile.TemporaryDirectory() as folder:
        held_out = HeldOut(judged, bundle.config, bundle.reader)
        search = SearchPlan(
            quantiser,
            held_out,
            arguments.backend,
            open_model,
            arguments.max_miou_drop,
            Path(folder),
            lambda trial: bar.to(len(search.trials), f"tried {trial.label}"),
        )
        plan = search()
    plan.write(arguments.output)
    trials = plan.origin["trials"]
    make_console().print(table(trials, plan.origin["chosen"]))
    if arguments.plot:
        draw(plan.to_dict(), arguments.plot)
    print(f"INT8: {json.dumps(plan.int8) if plan.int8 else 'nowhere, it saves nothing within the budget'}")
    print(arguments.output)
    return 0
