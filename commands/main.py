"""The command `cstm`."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from importlib import import_module
from typing import NoReturn

import cstm
from cstm.console import run_command

# What each command does; its file beside this one is loaded when it is called.
COMMANDS = {
    "segment": "segment what sentences describe in a video",
    "stream": "segment a camera or a network stream as it comes",
    "build": "make a bundle from a checkpoint",
    "calibrate": "measure a bundle's ranges and audit them against FP16's limits",
    "plan": "find the fastest INT8 plan that keeps the masks",
    "train": "train a network on sprites, A2D or J-HMDB Sentences",
    "ablate": "train and compare the supplement's ablations",
    "eval": "precision, mAP and IoU of a bundle or checkpoint on a dataset",
    "probe": "whether a network listens to the sentence and watches the motion",
    "explain": "picture what a network makes of sentences",
    "data": "make synthetic data",
    "parity": "compare a bundle with PyTorch on every backend that runs here",
    "latency": "how fast a bundle is, per component and end to end",
    "path": "what a frame costs from the video's file to the masks', beside the network",
    "workers": "how much sooner many workers are done with a video than one process",
    "soak": "watch streams for a long time: delay, losses, threads, memory",
    "naive": "what cutting and rewriting the network is worth against the network as it is",
    "layers": "the layers of TensorRT-RTX's engines and what they move, without a GPU",
    "kernels": "what the kernels take of a GPU, compiled without one",
    "doctor": "what this machine can run, and what to install for more",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its exit code: 0, 1 when a check found a failure, 2 after one line that says what to do."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    arguments = sys.argv[1:] if arguments is None else arguments

    def run() -> int:
        parsed = _parser(arguments[:1]).parse_args(arguments)
        if parsed.verbose:
            _tell_all()
        return parsed.run(parsed)

    return run_command(run, signals=True)


def script(name: str) -> int:
    """`cstm NAME` as a script of its own, with this process's arguments."""
    return main([name, *sys.argv[1:]])


class Parser(argparse.ArgumentParser):
    """An argument parser that knows why a sentence may be missing."""

    def error(self, message: str) -> NoReturn:
        """As of ArgumentParser."""
        if "unrecognized arguments: -" in message or message.endswith("SENTENCE"):
            message += " (a word that begins with a dash is taken for an option: put -- before the first of them)"
        super().error(message)


def _tell_all() -> None:
    """What our modules log goes to standard error."""
    logger, handler = logging.getLogger("cstm"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _parser(called: list[str]) -> argparse.ArgumentParser:
    """The command line, with the arguments of the command in `called`."""
    parser = Parser(prog="cstm", description="Language-queried video segmentation.")
    parser.add_argument("--version", action="version", version=f"cstm {cstm.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if [name] == called:
            brought = import_module(f"cstm.commands.{name}")
            brought.add_arguments(command)
            command.add_argument("-v", "--verbose", action="store_true", help="tell what is chosen on the way, and why")
            command.set_defaults(run=brought.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
