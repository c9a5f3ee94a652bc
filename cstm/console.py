"""What commands print, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console

from cstm.errors import CSTMError

WIDTH_OF_FILES = 140
EXTRAS = {
    "onnxruntime": "cpu",
    "openvino": "cpu",
    "tensorrt_rtx": "rtx",
    "tensorrt": "gpu",
    "cuda": "gpu",
    "triton": "kernels",
} | dict.fromkeys(("h5py", "scipy", "cv2", "tensorboard", "matplotlib", "pycocotools"), "train")


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or, where the output goes to a file, wide enough for our tables."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH_OF_FILES)


def run_command(command: Callable[[], int]) -> int:
    """The exit code of `command`; 2 after one line on standard error where it raises what a user can act on."""
    try:
        return command()
    except (CSTMError, OSError) as error:
        return fail(error)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name.split(".")[0], "export")
        return fail(f'{error.name} is not installed, and this command needs it; pip install "cstm[{extra}]"')
    except KeyboardInterrupt:
        fail("interrupted")
        return 130


def fail(message) -> int:
    """Print one line on standard error; 2."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    return 2
