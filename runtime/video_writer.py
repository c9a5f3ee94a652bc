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
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from cstm.errors import VideoError
from cstm.files import atomic_path
from cstm.runtime.encoders import X264, choose
from cstm.runtime.pictures import reason
from cstm.runtime.sound import Sound

# FFmpeg's numbers for BT.709 and for studio range (16 to 235).
BT709, STUDIO_RANGE = 1, 1
CLOCK = 90_000  # ticks a second, MPEG's own: a frame of every usual pace lasts a whole number of them
SQUARE = Fraction(1)
LONGEST = 2**30  # ticks, over three hours, that players take for one frame
SLOWEST, FASTEST = Fraction(1, 10_000), Fraction(CLOCK)  # frames a second that this clock can tell


def even(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) without an odd last row or column, as 4:2:0 video needs them."""
    height, width = (side - side % 2 or 2 for side in size)
    return height, width


def set_up(stream: VideoStream, size: tuple[int, int]) -> None:
    """Let a new stream take pictures of `ToYuv`. size: (height, width), both even."""
    stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
    # Players take untagged video for BT.601 or BT.709 as they see fit.
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = STUDIO_RANGE
    context.time_base = stream.time_base = Fraction(1, CLOCK)


class ToYuv:
    """Pictures as H.264 takes them."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()  # kept: preparing one takes longer than converting

    def __call__(self, image: np.ndarray, tick: int) -> av.VideoFrame:
        """RGB uint8 [H,W,3], C-contiguous, of even sides, shown at `tick` of CLOCK."""
        frame = av.VideoFrame.from_numpy_buffer(image, format="rgb24")
        frame = self._scaler.reformat(frame, format="yuv420p", dst_colorspace=BT709, dst_color_range=STUDIO_RANGE)
        frame.pts, frame.time_base = tick, Fraction(1, CLOCK)
        return frame


class VideoWriter:
    """Writes RGB frames to an H.264 mp4 file, which appears when the block ends and not at all when it fails.

    size: (height, width) in pixels; odd sides lose their last row or column, as 4:2:0 video needs even ones.
    fps: frames a second, on average. crf: quality, from 0 (lossless) to 51. pixel_aspect: the width of a pixel
    as it is to be shown, by its height. sound: goes with the frames, from the time of the first, and ends with them.
    encoder: of `encoders.ENCODERS`, or HARDWARE.
    RequestError and MissingDependencyError when there is no such encoder here; VideoError when no frame was written or
    the disk refuses.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float,
        crf: int = 20,
        pixel_aspect: Fraction = SQUARE,
        sound: Sound | None = None,
        encoder: str = X264,
    ):
        self.encoder = choose(encoder)
        if not (math.isfinite(fps) and fps > 0):
            raise VideoError(f"{path}: fps={fps}: must be a positive number of frames a second")
        self.path = Path(path)
        self.fps = min(max(Fraction(fps).limit_denominator(10_000), SLOWEST), FASTEST)
        self.height, self.width = even(size)
        self.crf, self.pixel_aspect, self.sound = crf, pixel_aspect, sound
        self._written, self._tick = 0, -1  # frames, and the last one's place on the clock
        self._end: int | None = None  # the tick until which the last frame is shown
        self._to_yuv = ToYuv()
        self._stack = ExitStack()

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack, self._video_error():
            temporary = stack.enter_context(atomic_path(self.path))
            options = {"movflags": "faststart"}
            self._container = stack.enter_context(av.open(f"file:{temporary}", "w", format="mp4", options=options))
            self._stream = self._container.add_stream(
                self.encoder.codec, rate=self.fps, options=dict(self.encoder.options(self.crf))
            )
            set_up(self._stream, (self.height, self.width))
            self._stream.codec_context.sample_aspect_ratio = self.pixel_aspect
            if self.sound:
                self.sound.join(self._container)
            self._stack = stack.pop_all()
        return self

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Append a frame, RGB uint8 [H,W,3] of the writer's size; VideoError on another.

        time: seconds from the video's start at which it is shown; None puts it where an even pace has it. A frame that
        is not later than the one before is shown right after it.
        """
        cut = np.ascontiguousarray(image[: self.height, : self.width])
        if cut.dtype != np.uint8 or cut.shape != (self.height, self.width, 3):
            raise VideoError(
                f"{self.path}: frame {self._written} is {image.dtype} {image.shape}; give RGB uint8 [H,W,3] of one size"
            )
        with self._video_error():
            frame = self._to_yuv(cut, self._next_tick(time))
            self._container.mux(self._stream.encode(frame))
            self._mux_sound(frame.pts)
        self._written, self._tick = self._written + 1, frame.pts

    def end(self, time: float) -> None:
        """The last frame is shown until `time`, in seconds; where nothing is said, for as long as an even pace has."""
        self._end = round(time * CLOCK)

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
                packets = self._last(self._stream.encode())
                self._mux_sound(packets[-1].pts + packets[-1].duration)
                self._container.mux(packets)

    def _mux_sound(self, tick: int) -> None:
        """The sound before that tick."""
        if self.sound:
            self._container.mux(list(self.sound.until(tick / CLOCK)))

    def _next_tick(self, time: float | None) -> int:
        wanted = round(self._written / self.fps * CLOCK if time is None else time * CLOCK)
        if not self._written:
            return max(wanted, 0)
        return min(max(wanted, self._tick + 1), self._tick + LONGEST)

    def _last(self, packets: list[av.Packet]) -> list[av.Packet]:
        """The last packets, each with its duration: to the next one, and the last frame's to the end."""
        pace = round(CLOCK / self.fps)
        end = self._tick + pace if self._end is None else self._end
        ends = [packet.pts for packet in packets[1:]] + [end]
        for packet, following in zip(packets, ends, strict=True):
            packet.duration = min(max(following - packet.pts, 1), LONGEST)
        return packets

    @contextmanager
    def _video_error(self) -> Iterator[None]:
        try:
            yield
        except av.error.FFmpegError as error:
            raise VideoError(f"{self.path}: cannot be written ({reason(error)}); check the folder and disk") from error
