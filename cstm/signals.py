"""Signals that a block takes in its own way: requests to end that become an exception, or wait for the block's end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class Ended(BaseException):
    """A request of the system to end. Not an Exception, so that nothing but `finally` takes notice on the way."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextmanager
def ends_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP, where nobody else handles them, raise Ended in the block."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    with _handled(end, ("SIGTERM", "SIGHUP"), lambda handler: handler == signal.SIG_DFL):
        yield


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Requests of the user or the system to end take effect after the block. Nothing changes in other threads.

    Raised within a library's callback they would come out as that library's own error.
    """
    waiting: list[tuple[int, FrameType | None]] = []
    before: dict[int, Any] = {}
    try:
        with _handled(lambda *call: waiting.append(call), ("SIGINT", "SIGTERM", "SIGHUP"), callable) as before:
            yield
    finally:
        for number, frame in waiting:
            before[number](number, frame)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches this process after the block, and never the processes that are started in it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # late: no other command starts processes

    resource_tracker.ensure_running()  # else the first process would start it, which ends all blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handled(take: Handler, names: Iterable[str], replaces: Callable[[Any], bool]) -> Iterator[dict[int, Any]]:
    """In the block, `take` handles those of the signals whose handler it `replaces`: these by number."""
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main one alone
        yield {}
        return
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: handler for number in numbers if replaces(handler := signal.getsignal(number))}
    for number in before:
        signal.signal(number, take)
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
