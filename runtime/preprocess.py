"""From frames to what the encoders take. The only pre-processing: training, calibration and benchmarks call it too."""

from __future__ import annotations

import threading
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
    """A thread's own scaler, kept, as preparing one takes longer than scaling."""

    def __init__(self) -> None:
        self.scaler = VideoReformatter()


_OWN = _Own()


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """RGB uint8 [H,W,3] -> uint8 [size,size,3]; bilinear, the aspect is not kept (as the authors do).

    A side that shrinks is averaged, not sampled. The result is the same with every PyAV and processor.
    """
    return np.ascontiguousarray(_resize_planes(image, size).transpose(1, 2, 0))


def _resize_planes(image: np.ndarray, size: int) -> np.ndarray:
    """As `resize`, but uint8 [3,size,size]."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    # Called YUV, the three planes are scaled as they are; RGB would pass through YUV with half of its colour.
    frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
    try:
        return _OWN.scaler.reformat(frame, size, size, format="yuv444p", interpolation=BILINEAR).to_ndarray()
    except (av.error.FFmpegError, ValueError) as error:
        height, width = image.shape[:2]
        raise VideoError(f"frames of {width}x{height} cannot be resized ({error}); crop or scale the video") from error


def clip_indices(target: int, count: int | None, frames: int, stride: int) -> list[int]:
    """Numbers, from 0, of the frames in the clip around `target`, which is at index frames // 2.

    target + stride * (k - frames // 2), held within the video of `count` frames (None: no end known). The authors'
    loader starts the window at the video's first frame where it would start before it; that agrees from the ninth
    frame on. Earlier, their middle frame is not the target; ours repeats the first frame, so masks fit their frame.
    """
    last = float("inf") if count is None else count - 1
    return [int(min(max(target + stride * (k - frames // 2), 0), last)) for k in range(frames)]


def clip_windows(
    source: Iterable[Frame], config: CSTMConfig, every: int = 1
) -> Iterator[tuple[Frame, np.ndarray, np.ndarray]]:
    """(frame, its pixels uint8 [3,R,R], its clip uint8 [3,T,R,R]) for every `every`-th frame, as the network has them.

    Holds only the frames that a window still needs. When the source raises, as a video that breaks off does, the
    frames read so far come first, then the error.
    """
    frames, stride = config.frames, config.stride
    ahead = clip_indices(0, None, frames, stride)[-1]
    behind = stride * (frames // 2)
    pixels: dict[int, np.ndarray] = {}
    waiting: deque[Frame] = deque()
    broken, count = None, 0
    stream = iter(source)
    while True:
        try:
            frame = next(stream, None)
        except Exception as error:
            frame, broken = None, error
        if frame is not None:
            count = frame.index + 1
            pixels[frame.index] = _resize_planes(frame.image, config.size)
            pixels.pop(frame.index - ahead - behind - 1, None)
            if frame.index % every == 0:
                waiting.append(frame)
        while waiting and (frame is None or waiting[0].index + ahead < count):
            target = waiting.popleft()
            clip = np.stack([pixels[i] for i in clip_indices(target.index, count, frames, stride)], axis=1)
            yield target, pixels[target.index], clip
        if frame is None:
            break
    if broken:
        raise broken
