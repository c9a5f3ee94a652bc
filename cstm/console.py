"""What commands print, and how they fail."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from io import TextIOWrapper

from rich.console import Console

from cstm.errors import CSTMError
from cstm.packages import EXTRAS
from cstm.signals import Ended, ends_on_signals

WIDTH_OF_FILES = 140


class PipedConsole(Console):
    """One whose broken pipe is seen by `run_command`; Rich would exit with 1, which says that a check failed."""

    def on_broken_pipe(self) -> None:
        """As of Console."""
        raise BrokenPipeError


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or, where the output goes to a file, wide enough for our tables."""
    stream = sys.stderr if stderr else sys.stdout
    return PipedConsole(stderr=stderr, width=None if stream.isatty() else WIDTH_OF_FILES)


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


def fail(message: object) -> int:
    """Print one line on standard error; 2."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    return 2
