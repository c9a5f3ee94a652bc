"""`cstm plan`: search, table and plot of mean IoU against latency."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from cstm.commands.calibration_arguments import add_calibration_arguments, calibration_options
from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import atomic_path
from cstm.models.contract import contract
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle, onnx_file

DEFAULT_BACKEND, DEFAULT_CLIPS, DEFAULT_DROP = "openvino", 192, 0.005


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the planner."""
    parser.add_argument("bundle", type=Path, help="a bundle with FP32 models")
    parser.add_argument(
        "--max-miou-drop", type=float, default=DEFAULT_DROP, metavar="X", help=f"default: {DEFAULT_DROP}"
    )
    parser.add_argument("--backend", default=DEFAULT_BACKEND, metavar="B", help=f"default: {DEFAULT_BACKEND}")
    parser.add_argument("--clips", type=int, default=DEFAULT_CLIPS, metavar="N", help="held-out clips to judge on")
    parser.add_argument("--output", type=Path, default=Path("plan.json"), metavar="F", help="default: plan.json")
    parser.add_argument("--plot", type=Path, metavar="F", help="mean IoU against latency, as PNG")
    add_calibration_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search as the command line says; write the plan and print what was measured; 0."""
    from cstm.calibration.accuracy import HELD_OUT_SEED, HeldOut
    from cstm.calibration.progress import sample_progress
    from cstm.calibration.quantiser import Quantiser
    from cstm.calibration.search import SearchPlan, check_request

    options = calibration_options(arguments)
    check_request(arguments.backend, arguments.max_miou_drop)
    backend(arguments.backend).require()
    if arguments.clips < 1:
        raise RequestError(f"--clips {arguments.clips}: must be 1 or more")
    bundle = Bundle(arguments.bundle)
    if not bundle.trained:
        raise RequestError(f"{bundle.path}: random weights have no accuracy to plan for; build INT8 without a plan")
    models = {name: bundle.file(onnx_file(name, "fp32")) for name in contract(bundle.config)}
    judged = replace(options, samples=arguments.clips, seed=HELD_OUT_SEED, force=True)
    with sample_progress("calibrating", options.samples) as done:
        quantiser = Quantiser(bundle.config, models, bundle.reader, options, done)
        _ = quantiser.ranges
    with sample_progress("trying", None) as done, tempfile.TemporaryDirectory() as folder:
        held_out = HeldOut(judged, bundle.config, bundle.reader)
        search = SearchPlan(quantiser, held_out, arguments.backend, arguments.max_miou_drop, Path(folder))
        plan = search(lambda trial: done(len(search.trials), f"tried {trial.label}"))
    plan.write(arguments.output)
    trials = plan.origin["trials"]
    make_console().print(table(trials, plan.origin["chosen"]))
    if arguments.plot:
        draw(plan.to_dict(), arguments.plot)
    print(f"INT8: {json.dumps(plan.int8) if plan.int8 else 'nowhere, it saves nothing within the budget'}")
    print(arguments.output)
    return 0


def table(trials: list[dict], chosen: dict) -> Table:
    """The trials, as `Trial.to_dict` gives them."""
    shown = Table(
        "INT8",
        "mean IoU",
        "drop",
        "95 %",
        f"IoU with {trials[0]['label'].upper()}",
        "ms",
        f"× {trials[0]['label'].upper()}",
    )
    base = trials[0]["ms"]
    for trial in trials:
        shown.add_row(
            trial["label"],
            f"{100 * trial['mean_iou']:.2f}",
            f"{100 * trial['drop']:+.2f}",
            f"{100 * trial['drop_low']:+.2f} to {100 * trial['drop_high']:+.2f}",
            f"{100 * trial['agreement']:.1f}",
            f"{trial['ms']:.1f}",
            f"{base / trial['ms']:.2f}",
            style="bold" if trial == chosen else None,
        )
    return shown


def draw(plan: dict, path: Path) -> None:
    """A plan, as PrecisionPlan.to_dict gives it -> a PNG of mean IoU against latency with the Pareto front."""
    from matplotlib.figure import Figure

    origin = plan["origin"]
    trials, chosen = origin["trials"], origin["chosen"]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    groups = {
        trials[0]["label"].upper(): [t for t in trials if not t["int8"]],
        "one block": [t for t in trials if sum(map(len, t["int8"].values())) == 1],
        "one component": [t for t in trials if len(t["int8"]) == 1 and t["label"] in t["int8"]],
    }
    taken = [t for group in groups.values() for t in group]
    groups["search"] = [t for t in trials if t not in taken]
    for (name, group), marker in zip(groups.items(), "sov^", strict=True):
        axes.scatter([t["ms"] for t in group], [100 * t["mean_iou"] for t in group], marker=marker, label=name, s=26)
    front = _front(trials)
    axes.plot([t["ms"] for t in front], [100 * t["mean_iou"] for t in front], color="0.6", lw=1, zorder=0)
    axes.scatter([chosen["ms"]], [100 * chosen["mean_iou"]], s=170, facecolors="none", edgecolors="k", label="chosen")
    axes.axhline(100 * (trials[0]["mean_iou"] - origin["budget"]), color="tab:red", lw=1, ls="--", label="budget")
    axes.set(xlabel=f"ms a frame, {origin['backend']}, without the text encoder", ylabel="mean IoU, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _front(trials: list[dict]) -> list[dict]:
    """Those that no other beats in both mean IoU and time, the fastest first."""
    front: list[dict] = []
    for trial in sorted(trials, key=lambda t: (t["ms"], -t["mean_iou"])):
        if not front or trial["mean_iou"] > front[-1]["mean_iou"]:
            front.append(trial)
    return front
