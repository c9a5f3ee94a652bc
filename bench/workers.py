"""How much sooner workers are done with a video than one process that has all cores: `cstm segment --workers`.

Printed by `cstm workers`. Only masks are written. Where no video is named, the demo clip is scaled to 1920x1080 and
runs in a loop.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cstm.bench.path import write_clip
from cstm.data.demo import DEMO_SENTENCES
from cstm.errors import EngineError
from cstm.runtime.video_index import index_video


@dataclass(frozen=True)
class Run:
    """One run of the command, from its start to its end. seconds: on the wall. processor: of all its processes.
    load: processes that wanted to run, on the average of the minute that ends with it."""

    seconds: float
    processor: float
    load: float


@dataclass(frozen=True)
class WorkersCost:
    """What `workers_cost` finds: runs of one process and of many workers, in turns, of so many frames of [H, W];
    whether the masks' files were the same, byte for byte."""

    frames: int
    size: tuple[int, int]
    one: list[Run]
    many: list[Run]
    same: bool

    @property
    def faster(self) -> float:
        """How many times as fast the workers were, the median over neighbouring runs."""
        return median(one.seconds / many.seconds for one, many in zip(self.one, self.many, strict=True))

    @property
    def cheaper(self) -> float:
        """How many times the processor time one process took, which other work on the machine changes less."""
        return median(one.processor / many.processor for one, many in zip(self.one, self.many, strict=True))


def workers_cost(bundle: Path, backend: str, workers: int, video: Path | None, frames: int, rounds: int) -> WorkersCost:
    """Measure on this machine: a video, or the demo clip in a loop, of so many frames."""
    with tempfile.TemporaryDirectory() as folder:
        clip = video.resolve() if video else write_clip(Path(folder) / "clip.mp4", frames)
        index = index_video(clip)
        places = Path(folder) / "one.json", Path(folder) / "many.json"
        command = [sys.executable, "-m", "cstm.commands.main", "segment", str(clip), DEMO_SENTENCES[0]]
        command += ["--bundle", str(bundle.resolve()), "--backend", backend]
        runs: tuple[list[Run], list[Run]] = ([], [])
        for turn in range(rounds):
            for way in (0, 1) if turn % 2 == 0 else (1, 0):
                options = ["--masks", str(places[way]), "--workers", str((1, workers)[way])]
                runs[way].append(_run([*command, *options]))
        return WorkersCost(len(index), index.size, *runs, same=places[0].read_bytes() == places[1].read_bytes())


def _run(command: list[str]) -> Run:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tempfile.gettempdir())
    assert process.stderr
    told = process.stderr.read().decode(errors="replace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise EngineError(f"cstm segment failed: {' | '.join(told.strip().splitlines()[-2:])}")
    return Run(time.perf_counter() - start, used.ru_utime + used.ru_stime, os.getloadavg()[0])
