"""Frames become an H.264 file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from cstm.errors import MissingDependencyError, VideoError
from cstm.files import atomic_path
from cstm.runtime.pictures import reason

# FFmpeg's numbers for BT.709 and for studio range (16 to 235).
BT709, STUDIO_RANGE = 1, 1
SLOWEST, FASTEST = Fraction(1, 10_000), Fraction(100_000)  # frames a second that an mp4's clock can tell


class VideoWriter:
    """Writes RGB frames to an H.264 mp4 file, which appears when the block ends and not at all when it fails.

    size: (height, width) in pixels; odd sides lose their last row or column, as 4:2:0 video needs even ones.
    fps: frames a second. crf: x264's quality, from 0 (lossless) to 51. every: of how many frames one is written; each
    is shown for as long as those would be.
    MissingDependencyError when PyAV lacks libx264; VideoError when no frame was written or the disk refuses.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float, crf: int = 20, every: int = 1):
        if "libx264" not in av.codecs_available:
            raise MissingDependencyError("this PyAV lacks libx264; pip install av from a wheel")
        if not (math.isfinite(fps) and fps > 0):
            raise VideoError(f"{path}: fps={fps}: must be a positive number of frames a second")
        self.path = Path(path)
        self.fps = min(max(Fraction(fps).limit_denominator(10_000), SLOWEST), FASTEST)
        self.height, self.width = (side - side % 2 or 2 for side in size)
        self.crf, self.every, self._written = crf, every, 0
        self._end: int | None = None  # the number of the frame up to which the last is shown
        self._stack = ExitStack()

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack, self._video_error():
            temporary = stack.enter_context(atomic_path(self.path))
            options = {"movflags": "faststart"}
            self._container = stack.enter_context(av.open(f"file:{temporary}", "w", format="mp4", options=options))
            self._stream = self._container.add_stream("libx264", rate=self.fps, options={"crf": str(self.crf)})
            self._stream.width, self._stream.height, self._stream.pix_fmt = self.width, self.height, "yuv420p"
            # Players take untagged video for BT.601 or BT.709 as they see fit.
            context = self._stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = STUDIO_RANGE
            self._stack = stack.pop_all()
        return self

    def write(self, image: np.ndarray) -> None:
        """Append a frame, RGB uint8 [H,W,3] of the writer's size; VideoError on another."""
        even = np.ascontiguousarray(image[: self.height, : self.width])
        if even.dtype != np.uint8 or even.shape != (self.height, self.width, 3):
            raise VideoError(
                f"{self.path}: frame {self._written} is {image.dtype} {image.shape}; give RGB uint8 [H,W,3] of one size"
            )
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        with self._video_error():
            frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=STUDIO_RANGE)
            frame.pts, frame.time_base = self.every * self._written, 1 / self.fps
            self._container.mux(self._stream.encode(frame))
        self._written += 1

    def end(self, count: int) -> None:
        """The video that every so many frames are of has `count`: the last one written is not shown beyond its end."""
        self._end = count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whatever is raised here, or in closing the container, leaves through atomic_path, which removes the file.
        with self._video_error(), self._stack as stack:
            if kind is not None:
                stack.__exit__(kind, error, traceback)
            elif not self._written:
                raise VideoError(f"{self.path}: no frame was written; write at least one")
            else:
                self._container.mux(self._last(self._stream.encode()))

    def _last(self, packets: list[av.Packet]) -> list[av.Packet]:
        """The last packets, with the last frame's duration; the others' is the distance to the next."""
        last = self.every * (self._written - 1)
        shown = self.every if self._end is None else min(max(self._end - last, 1), self.every)
        for packet in packets:
            # The last in the file's order counts as well: it ends the track.
            packet.duration = shown if packet.pts == last or packet is packets[-1] else self.every
        return packets

    @contextmanager
    def _video_error(self) -> Iterator[None]:
        try:
            yield
        except av.error.FFmpegError as error:
            raise VideoError(f"{self.path}: cannot be written ({reason(error)}); check the folder and disk") from error
