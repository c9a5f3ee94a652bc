"""The one loop that times: what is compared takes turns, so that a busy machine slows all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from cstm.runtime.session import Session

WARM_UP = 2
REPEATS = 15


def interleaved(
    runs: Sequence[Callable[[], object]], repeats: int = REPEATS, warm_up: int = WARM_UP, settle: float = 0.0
) -> list[list[float]]:
    """Seconds of each of `runs`, `repeats` of them each; they take turns, after `warm_up` turns that do not count.

    settle: seconds to wait before each, where threads of the one before would spin on.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(warm_up + repeats):
        for run, spent in zip(runs, seconds, strict=True):
            if settle:
                time.sleep(settle)
            start = time.perf_counter()
            run()
            if turn >= warm_up:
                spent.append(time.perf_counter() - start)
    return seconds


def medians(runs: Sequence[Callable[[], object]], repeats: int = REPEATS, warm_up: int = WARM_UP) -> list[float]:
    """Median seconds of each of `runs`, as `interleaved` measures them."""
    return [statistics.median(spent) for spent in interleaved(runs, repeats, warm_up)]


def session_medians(sessions: Sequence[Session], inputs: dict, repeats: int = REPEATS) -> list[float]:
    """Median seconds of each session on the same inputs."""
    return medians([partial(session.run, inputs) for session in sessions], repeats)
