"""Streams watched for a long time: whether delay creeps up, frames vanish, cameras hang, memory grows.

Printed by `cstm soak`. The camera is a process on this machine, which takes its share of the processor.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from cstm.bench.camera import FPS
from cstm.bench.path import images_of
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.errors import VideoError
from cstm.runtime.live.camera import Camera
from cstm.runtime.segmenter import Segmenter
from cstm.runtime.video import open_video

SENTENCE = DEMO_SENTENCES[0]
SETTLED = 120.0  # seconds, from which memory may grow no more
KILLS = 20


def live(segmenter: Segmenter, minutes: float, fps: float = FPS) -> dict[str, Any]:
    """A camera at `fps`, one sentence, policy latest. Ages in ms, their slope in ms a minute, and the counts."""
    times, ages = [], []
    url = f"udp://127.0.0.1:{_free_port()}"
    with (
        segmenter.stream(url, SENTENCE, "latest") as stream,
        _serving(url, round(minutes * 60 * fps) + 500, "--fps", fps, "--video", DEMO_VIDEO),
    ):
        for result in stream:
            times.append(time.monotonic())
            ages.append(1e3 * result.age)
            if times[-1] - times[0] > 60 * minutes:
                break
        counts = stream.counts
    return {
        "minutes": minutes,
        "fps": fps,
        "decoded": counts.decoded,
        "segmented": counts.segmented,
        "dropped": counts.dropped,
        "connections": result.connection,
        "age_p50_ms": float(np.percentile(ages, 50)),
        "age_p99_ms": float(np.percentile(ages, 99)),
        "age_max_ms": max(ages),
        "slope_ms_a_minute": float(60 * np.polyfit(times, ages, 1)[0]),
    }


def fast(segmenter: Segmenter, minutes: float) -> dict[str, Any]:
    """As `live`, of a camera that sends twice as many frames as the network can take."""
    images = images_of(DEMO_VIDEO)
    start = time.perf_counter()
    _masks(segmenter, images)
    return live(segmenter, minutes, 2 * len(images) / (time.perf_counter() - start))


def losses(segmenter: Segmenter, times: int = KILLS) -> dict[str, Any]:
    """A camera that falls silent, and is there again a second after that was noticed; `times` over.

    Seconds from the last frame until the loss is noticed, and from the camera's start until masks come again, at most;
    and how many more threads and open files there are at the end than at the start.
    """
    noticed, again = [], []
    url = f"http://127.0.0.1:{_free_port()}"
    with open_video(DEMO_VIDEO) as video, segmenter.stream(video, SENTENCE) as stream:
        next(stream)  # what is made once is there
    before = _threads(), _files()
    with segmenter.stream(url, SENTENCE, "latest") as stream:
        camera = stream.source
        assert isinstance(camera, Camera)
        watcher = threading.Thread(target=lambda: [None for _ in stream])
        watcher.start()
        for number in range(times):
            with _serving(url, 10_000, "--silent-after", 50):
                started, seen = time.monotonic(), stream.counts.segmented
                _wait(lambda seen=seen: stream.counts.segmented > seen)
                again.append(time.monotonic() - started)
                last, decoded = time.monotonic(), 0
                while camera.losses <= number:
                    if stream.counts.decoded != decoded:
                        last, decoded = time.monotonic(), stream.counts.decoded
                    time.sleep(0.005)
                noticed.append(time.monotonic() - last)
            time.sleep(1)
    watcher.join()
    return {
        "times": times,
        "noticed_after_s": max(noticed),
        "masks_again_after_s": max(again),
        "threads_left": _threads() - before[0],
        "files_left": _files() - before[1],
    }


def threads(segmenter: Segmenter, frames: int = 200) -> dict[str, Any]:
    """Frames a second of 1, 2 and 4 threads that use one segmenter, in all; whether their masks are the same."""
    images = images_of(DEMO_VIDEO)
    clip = (images * (frames // len(images) + 1))[:frames]
    found, pace = {}, {}
    for count in (1, 2, 4):
        part = frames // count
        with ThreadPoolExecutor(count) as pool:
            start = time.perf_counter()
            runs = list(pool.map(lambda _, part=part: _masks(segmenter, clip[:part]), range(count)))
            pace[count] = count * part / (time.perf_counter() - start)
        found[count] = all((run == runs[0]).all() for run in runs), runs[0]
    shortest = min(len(masks) for _, masks in found.values()) - segmenter.look_ahead
    alike = all(same and (masks[:shortest] == found[1][1][:shortest]).all() for same, masks in found.values())
    return {"frames_a_second": pace, "identical": bool(alike)}


def memory(segmenter: Segmenter, minutes: float, every: int) -> dict[str, Any]:
    """`minutes` of video at 25 frames a second, from a file, of which every `every`-th frame is segmented.

    Memory after SETTLED seconds of video and at the end, in MB, and its slope from then on, in MB a minute of video.
    """
    images, count = cycle(images_of(DEMO_VIDEO)), round(minutes * 60 * FPS)
    times, sizes = [], []
    with segmenter.stream(islice(images, count), SENTENCE, f"every={every}", between="hold") as stream:
        for result in stream:
            if result.time > SETTLED and result.index % FPS == 0:
                times.append(result.time / 60)
                sizes.append(_resident())
        counts = stream.counts
    return {
        "minutes": minutes,
        "decoded": counts.decoded,
        "segmented": counts.segmented,
        "first_mb": sizes[0],
        "last_mb": sizes[-1],
        "slope_mb_a_minute": float(np.polyfit(times, sizes, 1)[0]),
    }


def _masks(segmenter: Segmenter, images: list[np.ndarray]) -> np.ndarray:
    return np.stack([result.masks for result in segmenter.segment(images, SENTENCE)])


@contextmanager
def _serving(url: str, count: int, *options: object) -> Iterator[None]:
    """A camera at `url` for the block."""
    command = [sys.executable, "-m", "cstm.bench.camera", url, str(count), *map(str, options)]
    # From elsewhere: in the repository's root, `cstm/` would hide the installed package.
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=tempfile.gettempdir())
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(done: Any, most: float = 60.0) -> None:
    end = time.monotonic() + most
    while not done():
        if time.monotonic() > end:
            raise VideoError(f"the camera of this soak gave nothing for {most:g} s: see whether the machine is free")
        time.sleep(0.005)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident() -> float:
    """MB of memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
