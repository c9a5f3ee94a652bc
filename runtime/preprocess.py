"""From frames to what the encoders take. The only pre-processing: training, calibration and benchmarks call it too."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from cstm.errors import VideoError
from cstm.models.config import CSTMConfig
from cstm.runtime.video import Frame

# libswscale's SWS_BILINEAR, SWS_ACCURATE_RND and SWS_BITEXACT.
BILINEAR = 0x2 | 0x40000 | 0x80000


class _Own(threading.local):
    """A thread's own scaler and what it reads, kept, as preparing them takes longer than scaling."""

    def __init__(self) -> None:
        self.scaler = VideoReformatter()
        self.picture = av.VideoFrame(2, 2, "yuv444p")


_OWN = _Own()


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """RGB uint8 [H,W,3] -> uint8 [size,size,3]; bilinear, the aspect is not kept (as the authors do).

    A side that shrinks is averaged, not sampled. The result is the same with every PyAV and processor.
    """
    return np.ascontiguousarray(_resize_planes(image, size).transpose(1, 2, 0))


def _resize_planes(image: np.ndarray, size: int) -> np.ndarray:
    """As `resize`, but uint8 [3,size,size]."""
    height, width = image.shape[:2]
    if (_OWN.picture.height, _OWN.picture.width) != (height, width):
        _OWN.picture = av.VideoFrame(width, height, "yuv444p")
    # Called YUV, the three planes are scaled as they are; RGB would pass through YUV with half of its colour.
    for channel, plane in enumerate(_OWN.picture.planes):
        np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :width] = image[..., channel]
    try:
        return _OWN.scaler.reformat(_OWN.picture, size, size, format="yuv444p", interpolation=BILINEAR).to_ndarray()
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"frames of {width}x{height} cannot be resized ({error}); crop or scale the video") from error


def clip_indices(target: int, count: int | None, frames: int, stride: int) -> list[int]:
    """Numbers, from 0, of the frames in the clip around `target`, which is at index frames // 2.

    target + stride * (k - frames // 2), held within the video of `count` frames (None: no end known). The authors'
    loader starts the window at the video's first frame where it would start before it; that agrees from the ninth
    frame on. Earlier, their middle frame is not the target; ours repeats the first frame, so masks fit their frame.
    """
    last = float("inf") if count is None else count - 1
    return [int(min(max(target + offset, 0), last)) for offset in clip_offsets(frames, stride)]


def clip_offsets(frames: int, stride: int) -> list[int]:
    """Where a clip's frames are, counted from the target."""
    return [stride * (k - frames // 2) for k in range(frames)]


def look_ahead(config: CSTMConfig) -> int:
    """How many frames after its target a clip ends."""
    return clip_offsets(config.frames, config.stride)[-1]


def clip_windows(
    source: Iterable[Frame], config: CSTMConfig, every: int = 1, clip_fps: float | None = None
) -> Iterator[tuple[Frame, np.ndarray, np.ndarray]]:
    """(frame, its pixels uint8 [3,R,R], its clip uint8 [3,T,R,R]) for every `every`-th frame, as the network has them.

    clip_fps: take the frames of a clip by their times, the nearest ones, as if the video had so many frames a second;
    None counts frames, as the authors do.

    Holds only the frames that a window still needs. When the source raises, as a video that breaks off does, the
    frames read so far come first, then the error.
    """
    offsets = clip_offsets(config.frames, config.stride)
    held, waiting = _Held(), deque[tuple[float, Frame]]()
    broken = None
    stream = iter(source)
    while True:
        try:
            frame = next(stream, None)
        except Exception as error:
            frame, broken = None, error
        if frame is not None:
            place = frame.index if clip_fps is None else frame.time * clip_fps
            held.add(place, _resize_planes(frame.image, config.size))
            if frame.index % every == 0:
                waiting.append((place, frame))
        while waiting and (frame is None or waiting[0][0] + offsets[-1] <= held.last):
            place, target = waiting.popleft()
            held.forget(place + offsets[0])
            clip = [held.nearest(place + offset) for offset in offsets]
            yield target, clip[config.frames // 2], np.stack(clip, axis=1)
        if frame is None:
            break
        if not waiting:
            held.forget(held.last + offsets[0])
    if broken:
        raise broken


class _Held:
    """The pixels of the latest frames, each at its place along the axis on which a clip's frames are evenly apart."""

    def __init__(self) -> None:
        self._places: list[float] = []
        self._pixels: list[np.ndarray] = []

    @property
    def last(self) -> float:
        """Where the latest is."""
        return self._places[-1]

    def add(self, place: float, pixels: np.ndarray) -> None:
        """The next one, later than all that are held."""
        self._places.append(place)
        self._pixels.append(pixels)

    def nearest(self, place: float) -> np.ndarray:
        """The frame nearest to `place`, of two as near the earlier; the first or last where it is outside."""
        after = bisect_left(self._places, place, hi=len(self._places) - 1)
        before = max(after - 1, 0)
        return self._pixels[before if place - self._places[before] <= self._places[after] - place else after]

    def forget(self, place: float) -> None:
        """All but what may be nearest to `place` or to any later one."""
        unused = bisect_right(self._places, place) - 1
        if unused > 0:
            del self._places[:unused], self._pixels[:unused]
