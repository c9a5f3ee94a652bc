"""What commands print, and how they fail."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import TextIOWrapper

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


class PipedConsole(Console):
    """One whose broken pipe is seen by `run_command`; Rich would exit with 1, which says that a check failed."""

    def on_broken_pipe(self) -> None:
        """As of Console."""
        raise BrokenPipeError


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or, where the output goes to a file, wide enough for our tables."""
    stream = sys.stderr if stderr else sys.stdout
    return PipedConsole(stderr=stderr, width=None if stream.isatty() else WIDTH_OF_FILES)


class Ended(BaseException):
    """A request of the system to end. Not an Exception, so that nothing but `finally` takes notice on the way."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def run_command(command: Callable[[], int], signals: bool = False) -> int:
    """The exit code of `command`; 2 after one line on standard error where it raises what a user can act on.

    signals: SIGTERM and SIGHUP end it as SIGINT does, by way of every `finally`, so that nothing half-written stays;
    the code is then 128 and the signal's number.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # names of files and words need not be what it can show
    try:
        with ends_on_signals() if signals else nullcontext():
            try:
                return command()
            finally:
                sys.stdout.flush()  # here, where it can still be said that nobody reads
    except BrokenPipeError:  # whoever read our output has seen enough
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, as of a program that leaves it as it is
    except (CSTMError, OSError) as error:
        return fail(error)
    except MemoryError as error:
        return fail(f"out of memory ({error}); smaller batches, fewer workers or a smaller size need less")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0], "export")
        return fail(f'{error.name} is not installed, and this command needs it; pip install "cstm[{extra}]"')
    except KeyboardInterrupt:
        fail("interrupted")
        return 130
    except Ended as ended:
        fail(f"ended by {signal.Signals(ended.number).name}")
        return 128 + ended.number


@contextmanager
def ends_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP, where nobody else handles them, raise Ended in the block."""

    def end(number: int, _frame: object) -> None:
        raise Ended(number)

    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main one alone
        yield
        return
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in names if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fail(message: object) -> int:
    """Print one line on standard error; 2."""
    line = f"error: {' '.join(str(message).split())}"
    encoding = sys.stderr.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    return 2
