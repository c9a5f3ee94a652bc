"""The command `cstm`."""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module, metadata
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cstm.console import fail, make_console, run_command
from cstm.errors import RequestError
from cstm.files import write_json

DEFAULT_BUNDLE = Path("build/tiny")
# Commands that bring their own arguments: the module, loaded when its command is called, and what it does.
COMMANDS = {
    "build": ("cstm.export.build_engines", "make a bundle from a checkpoint"),
    "calibrate": ("cstm.calibration.command", "measure a bundle's ranges and audit them against FP16's limits"),
    "plan": ("cstm.calibration.planner", "find the fastest INT8 plan that keeps the masks"),
    "train": ("cstm.training.train", "train a network on sprites, A2D or J-HMDB Sentences"),
    "ablate": ("cstm.training.ablate", "train and compare the supplement's ablations"),
    "eval": ("cstm.bench.evaluate", "precision, mAP and IoU of a bundle or checkpoint on a dataset"),
    "probe": ("cstm.bench.probes", "whether a network listens to the sentence and watches the motion"),
    "explain": ("cstm.bench.explain", "picture what a network makes of sentences"),
    "data": ("cstm.data.command", "make synthetic data"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its exit code: 0, 1 when a check found a failure, 2 after one line that says what to do."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    arguments = sys.argv[1:] if arguments is None else arguments

    def run() -> int:
        parsed = _parser(arguments[:1]).parse_args(arguments)
        return parsed.command(parsed)

    return run_command(run)


def _parser(called: list[str]) -> argparse.ArgumentParser:
    """The command line, with the arguments of the command in `called` where it brings its own."""
    parser = argparse.ArgumentParser(prog="cstm", description="Language-queried video segmentation.")
    parser.add_argument("--version", action="version", version=f"cstm {metadata.version('cstm')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    segment = commands.add_parser("segment", help="segment what sentences describe in a video")
    segment.set_defaults(command=_segment)
    segment.add_argument("video", help="a video file or a folder of frames")
    segment.add_argument("sentences", nargs="+", metavar="SENTENCE", help="such as 'the dog jumping on the left'")
    segment.add_argument("--every", type=_positive, default=1, metavar="N", help="only every N-th frame")
    segment.add_argument("--out", type=Path, metavar="F", help="overlay video; by default VIDEO.overlay.mp4, here")
    segment.add_argument("--masks", type=Path, metavar="F", help="masks as JSON with COCO run lengths")
    segment.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help=f"default: {DEFAULT_BUNDLE}")
    segment.add_argument("--backend", default="auto", help="see cstm doctor (default: auto)")
    segment.add_argument("--precision", help="fp32, fp16, bf16 or int8 (default: the backend's)")

    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if [name] == called:
            brought = import_module(module)
            brought.add_arguments(command)
            command.set_defaults(command=brought.run)

    parity = commands.add_parser("parity", help="compare a bundle with PyTorch on every backend that runs here")
    parity.set_defaults(command=_parity)
    parity.add_argument("bundle", type=Path, nargs="?", default=DEFAULT_BUNDLE, help=f"default: {DEFAULT_BUNDLE}")
    parity.add_argument("--backends", nargs="+", metavar="B", help="only these; each must run here")
    parity.add_argument("--precisions", nargs="+", metavar="P", help="only these")
    parity.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")

    doctor = commands.add_parser("doctor", help="what this machine can run, and what to install for more")
    doctor.set_defaults(command=_doctor)
    return parser


def _segment(arguments: argparse.Namespace) -> int:
    from cstm.runtime.segment_video import segment_to_files
    from cstm.runtime.segmenter import Segmenter
    from cstm.runtime.video import open_video

    overlay = arguments.out
    if not overlay and not arguments.masks:
        overlay = Path(f"{Path(arguments.video).stem}.overlay.mp4")
    with (
        open_video(arguments.video) as video,
        Segmenter(arguments.bundle, arguments.backend, arguments.precision) as segmenter,
        _progress() as progress,
    ):
        task = progress.add_task(f"{segmenter.backend.name} {segmenter.precision}", total=video.count)
        written = segment_to_files(
            segmenter,
            video,
            arguments.sentences,
            arguments.every,
            overlay,
            arguments.masks,
            lambda index: progress.update(task, completed=index + 1),
        )
    print(f"{written.frames} frames on {segmenter.backend.name} in {segmenter.precision}")
    for path in filter(None, (overlay, arguments.masks)):
        print(path)
    return fail(written.broken) if written.broken else 0


def _parity(arguments: argparse.Namespace) -> int:
    from cstm.bench.parity import parity, table, to_json
    from cstm.runtime.bundle import Bundle

    bundle = Bundle(arguments.bundle)
    console = make_console(stderr=True)
    with console.status("comparing with PyTorch") as status:
        report = lambda row: status.update(f"{row.backend} {row.precision} {row.part}")  # noqa: E731
        rows, reasons = parity(bundle, arguments.backends, arguments.precisions, report)
    make_console().print(table(rows))
    for reason in reasons.values():
        print(f"left out {reason}")
    if arguments.json:
        write_json(arguments.json, to_json(rows))
    if not rows:
        raise RequestError("no backend and precision to compare; see cstm doctor")
    failed = sum(not row.passed for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} within tolerance")
    return 1 if failed else 0


def _doctor(_: argparse.Namespace) -> int:
    from cstm.runtime import doctor

    console = make_console()
    for name, value in doctor.machine().items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(doctor.backend_table())
    console.print(doctor.tool_table())
    return 0


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} of {task.total} frames"))
    console = make_console(stderr=True)
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
