"""The command line of `bench/gpu_first.py`: one step after the other, and a report that is whole after each."""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.markup import escape

from cstm.bench.gpu_steps import STEPS, Step
from cstm.bench.gpu_steps.apart import FAIL, Result, run_apart
from cstm.bench.gpu_steps.place import Place
from cstm.bench.gpu_steps.report import line, summary
from cstm.bench.machine import machine
from cstm.console import make_console, run_command
from cstm.errors import RequestError
from cstm.files import check_place, write_json
from cstm.progress import progress
from cstm.runtime.device_array import cuda_device
from cstm.runtime.manifest import MANIFEST

MINUTES = 10.0
BUILT, DRY_REPORT = Path("build/tiny"), Path("build/gpu_first_dry.json")
RESULTS = Path(__file__).resolve().parents[1] / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """0, 1 where a step failed, 2 after one line that says what to do."""
    return run_command(lambda: run(_parser().parse_args(arguments)), signals=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu_first.py", description="The first ten minutes on a GPU.")
    parser.add_argument("bundle", type=Path, nargs="?", help=f"default: {BUILT} where it is, else one is built")
    parser.add_argument("--dry", action="store_true", help="without a GPU: the same steps, small, on the CPU")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="only these, of --list")
    parser.add_argument("--list", action="store_true", help="print the steps and what each expects")
    parser.add_argument("--minutes", type=float, default=MINUTES, metavar="N", help=f"in all; default: {MINUTES:g}")
    parser.add_argument("--json", type=Path, metavar="F", help="default: bench/results/GPU/gpu_first.json")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the steps that are asked for."""
    steps = chosen(STEPS, arguments.only)
    if arguments.list:
        for name, step in steps.items():
            print(f"{name:22}{step.expects}")
        return 0
    gpu = None if arguments.dry else cuda_device()
    if gpu is None and not arguments.dry:
        raise RequestError("cuda-core finds no GPU here (`pip install cuda-core`?); --dry runs what a CPU can")
    report = check_place(arguments.json or (DRY_REPORT if gpu is None else RESULTS / slug(gpu) / "gpu_first.json"))
    given = arguments.bundle or (BUILT if BUILT.is_dir() else None)
    if given and not (given / MANIFEST).is_file():
        raise RequestError(f"{given}: no bundle (no {MANIFEST}); name one, or none to have one built")
    with tempfile.TemporaryDirectory(prefix="gpu_first-") as folder:
        bundle = given.resolve() if given else Path(folder, "bundle")
        place = Place("cpu" if arguments.dry else "cuda", Path(folder), bundle)
        results = run_steps(steps, place, 60 * arguments.minutes, report)
    for shown in summary(results, arguments.dry):
        make_console().print(shown)
    print(f"report: {report}")
    return 1 if any(result.outcome == FAIL for result in results) else 0


def chosen(steps: Mapping[str, Step], names: Sequence[str] | None) -> dict[str, Step]:
    """Those of `names`, all of them by default, in the table's order. RequestError on a name that is not there."""
    if unknown := set(names or ()) - set(steps):
        raise RequestError(f"no step {', '.join(sorted(unknown))}, choose from {', '.join(steps)}")
    return {name: step for name, step in steps.items() if not names or name in names}


def run_steps(steps: Mapping[str, Step], place: Place, seconds: float, report: Path) -> list[Result]:
    """What became of each, all of them within `seconds`; the report holds it as soon as it is known.

    One that is not reached has failed: nobody knows whether it is right.
    """
    results: list[Result] = []
    start = time.monotonic()
    about: dict[str, Any] = {"machine": machine(), "dry": place.dry, "began": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    console = make_console()
    show_line = partial(console.print, soft_wrap=True, markup=False, highlight=False)
    with progress("gpu_first", len(steps), console=console) as bar:
        for name, step in steps.items():
            left = seconds - (time.monotonic() - start)
            if left > 0:
                show_line(f"     {name}, expected: {step.expects}")
                show = lambda text, name=name: bar.title(escape(f"{name}: {text}"[:60]))  # noqa: E731
                results.append(run_apart(name, step, place, min(step.seconds, left), show))
            else:
                results.append(Result(name, FAIL, f"not reached in {seconds:.0f} s; see --minutes", 0.0, step.expects))
            write_json(report, about | {"steps": [asdict(result) for result in results]})
            show_line(line(results[-1]))
            bar.advance()
    return results


def slug(gpu: str) -> str:
    """A GPU's name as a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
