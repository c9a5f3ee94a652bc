"""What a frame costs from the video's file to the masks' and the overlay's, beside what the network in it costs.

Printed by `cstm path`. The demo clip is scaled to 1920x1080 and runs in a loop.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import av
import numpy as np

from cstm.bench.memory import own_peak
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.errors import EngineError
from cstm.models.contract import TEXT_ENCODER
from cstm.runtime.overlay import Overlay
from cstm.runtime.segment_video import segment_to_files
from cstm.runtime.segmenter import Segmenter
from cstm.runtime.video import open_video

HEIGHT, WIDTH, FPS = 1080, 1920, 25
FRAMES, LONGER = 60, 10  # of the clip; how many times as long is the one for memory
RUNS = 20
SECONDS = 5.0  # that workers count frames for


@dataclass(frozen=True)
class PathCost:
    """What `path_cost` finds.

    Milliseconds a frame, medians over rounds in which they take turns: of the network alone, for one sentence and for
    each further one, up to the bundle's largest batch; of drawing two sentences' masks, which are a fifth of the
    frame; of the whole path to a masks' file, and to an overlay. Frames a second of one worker with all threads, and of
    one worker a thread. Bytes of memory at the peak of a short video, and of one LONGER times as long, with masks and
    overlay.
    """

    network_ms: float
    further_ms: float
    draw_ms: float
    masks_ms: float
    overlay_ms: float
    one_worker: float
    workers: float
    peak_short: int
    peak_long: int


def path_cost(segmenter: Segmenter, rounds: int, threads: int) -> PathCost:
    """Measure on this machine. threads: workers that take one thread each."""
    bundle, name, precision = segmenter.bundle.path.resolve(), segmenter.backend.name, segmenter.precision
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mp4", FRAMES)
        spent = _rounds(segmenter, clip, Path(folder), rounds)
        one, each = (_frames_a_second(bundle, name, precision, *how) for how in ((1, 0), (threads, 1)))
        peaks = [_peak(bundle, name, precision, write_clip(Path(folder) / "m.mp4", n)) for n in (30, 30 * LONGER)]
    network, several, draw, masks, overlay = (1e3 * median(seconds) for seconds in spent.values())
    further = (several - network) / max(segmenter.bundle.max_batch - 1, 1)
    return PathCost(network, further, draw, masks, overlay, one, each, *peaks)


def images_of(video: str | Path) -> list[np.ndarray]:
    """A short video's frames, RGB uint8 [H,W,3]."""
    with open_video(video) as frames:
        return [frame.image for frame in frames]


def write_clip(path: Path, count: int) -> Path:
    """The demo clip in a loop, scaled, as H.264."""
    images = images_of(DEMO_VIDEO)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(images[number % len(images)], format="rgb24")
            container.mux(stream.encode(picture.reformat(WIDTH, HEIGHT, format="yuv420p")))
        container.mux(stream.encode())
    return path


def _recorded(segmenter: Segmenter) -> tuple[dict, dict]:
    """The bundle's recorded inputs, and the language plan of their sentence."""
    golden, _ = segmenter.bundle.golden()
    return golden, segmenter.chain.language_plan(segmenter.chain.components[TEXT_ENCODER].pick(golden))


def _rounds(segmenter: Segmenter, clip: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds a frame of each part, in the order of `PathCost`, one for each round but the first, which warms up."""
    golden, plan = _recorded(segmenter)
    sentences = list(DEMO_SENTENCES[:1])
    plans = {name: array.repeat(segmenter.bundle.max_batch, 0) for name, array in plan.items()}

    painter, image, found = _scene()

    def often(run: Callable[[], object]) -> float:
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return median(times)

    def whole(masks: Path | None = None, overlay: Path | None = None) -> float:
        start = time.perf_counter()
        written = segment_to_files(segmenter, open_video(clip), sentences, overlay=overlay, masks=masks)
        return (time.perf_counter() - start) / written.frames

    runs = {
        "network": lambda: often(lambda: segmenter.chain.mask_logits(golden, plan)),
        "several sentences": lambda: often(lambda: segmenter.chain.mask_logits(golden, plans)),
        "drawing": lambda: often(lambda: painter.draw_onto(image, found)),
        "masks": lambda: whole(masks=folder / "masks.json"),
        "overlay": lambda: whole(overlay=folder / "overlay.mp4"),
    }
    spent: dict[str, list[float]] = {part: [] for part in runs}
    for turn in range(rounds + 1):
        for part, run in runs.items():
            seconds = run()
            if turn:
                spent[part].append(seconds)
    return spent


def _scene() -> tuple[Overlay, np.ndarray, np.ndarray]:
    """What draws two sentences' masks, a frame, and the masks: two upright ellipses."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    found = np.stack([((y - 540) / 330) ** 2 + ((x - middle) / 190) ** 2 < 1 for middle in (500, 1300)])
    return Overlay(list(DEMO_SENTENCES)), np.full((HEIGHT, WIDTH, 3), 128, np.uint8), found


def _frames_a_second(bundle: Path, name: str, precision: str, workers: int, threads: int) -> float:
    """Of processes that run the network at the same time. threads: of each; 0 for all."""
    command = _command("count", bundle, name, precision, threads)
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir())
        for _ in range(workers)
    ]
    for process in running:
        assert process.stdout
        process.stdout.readline()  # ready
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise EngineError(f"{name} in {precision} failed in a worker; run cstm segment to see why")
    return sum(float(answer.split()[-1]) for answer in answers)


def _peak(bundle: Path, name: str, precision: str, clip: Path) -> int:
    command = _command("memory", bundle, name, precision, clip)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    if done.returncode:
        raise EngineError(f"{name} in {precision} failed: {' | '.join(done.stderr.strip().splitlines()[-2:])}")
    return int(done.stdout.split()[-1])


def _command(what: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "cstm.bench.path", what, *map(str, arguments)]


def _count(bundle: str, name: str, precision: str, threads: str) -> None:
    with Segmenter(bundle, name, precision, threads=int(threads) or None) as segmenter:
        golden, plan = _recorded(segmenter)
        for _ in range(RUNS):
            segmenter.chain.mask_logits(golden, plan)
        print("ready", flush=True)
        sys.stdin.readline()
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            segmenter.chain.mask_logits(golden, plan)
            count += 1
        print(count / (time.perf_counter() - start))


def _memory(bundle: str, name: str, precision: str, clip: str) -> None:
    with Segmenter(bundle, name, precision) as segmenter, tempfile.TemporaryDirectory() as folder:
        masks, overlay = Path(folder) / "masks.json", Path(folder) / "overlay.mp4"
        segment_to_files(segmenter, open_video(clip), list(DEMO_SENTENCES), overlay=overlay, masks=masks)
    print(own_peak())


if __name__ == "__main__":
    {"count": _count, "memory": _memory}[sys.argv[1]](*sys.argv[2:])
