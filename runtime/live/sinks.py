"""Where a stream's masks go, each as soon as it is made: lines of JSON, a video file, a live video."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, TextIO

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from cstm.errors import CSTMError, VideoError
from cstm.files import check_place
from cstm.runtime.live.address import live_address
from cstm.runtime.live.stream import LiveMasks
from cstm.runtime.masks_file import record
from cstm.runtime.overlay import Overlay
from cstm.runtime.pictures import reason
from cstm.runtime.video_writer import CLOCK, ToYuv, VideoWriter, even, set_up

STANDARD_OUTPUT = "-"
HLS = ".m3u8"
# No frame waits for a later one; a viewer that joins sees a picture within a second or two.
LIVE_H264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "g": "50"}
SEGMENTS = {"hls_time": "2", "hls_list_size": "6", "hls_flags": "delete_segments+independent_segments"}


class Sink(Protocol):
    """Takes masks as they are made; whoever gives them waits."""

    def write(self, result: LiveMasks) -> None:
        """Take one."""


@contextmanager
def lines(place: str | Path) -> Iterator[Sink]:
    """JSON lines: a record for each frame, as `.jsonl` masks have it, and what a stream adds. place: a file, which is
    added to, or "-", standard output. CSTMError where it cannot be written."""
    with ExitStack() as stack:
        try:
            file = sys.stdout if str(place) == STANDARD_OUTPUT else stack.enter_context(_appended(Path(place)))
        except OSError as error:
            raise CSTMError(f"{place}: cannot be written ({error.strerror}); name another place") from error
        yield _Lines(file)


def _appended(path: Path) -> TextIO:
    return check_place(path).open("a", encoding="utf-8")


class _Lines:
    def __init__(self, file: TextIO):
        self._file = file

    def write(self, result: LiveMasks) -> None:
        told = {
            "sentences": result.sentences,
            "how": result.how,
            "captured": round(result.captured, 6),
            "age": round(result.age, 6),
            "connection": result.connection,
            "failed": result.failed,
        }
        self._file.write(json.dumps(record(result) | told) + "\n")
        self._file.flush()


class OverlaySink:
    """Draws the masks over the frames and shows them: in an mp4 file; live, over UDP as MPEG-TS; or as HLS, a playlist
    and its segments of the last seconds, beside one another in a folder that a web server serves.

    place: a file's name, of a playlist where it ends in .m3u8, or "udp://HOST:PORT". fps: about. A context manager.
    Frames of another size than the first are scaled to it. VideoError where it cannot be written.
    """

    def __init__(self, place: str | Path, fps: float, note: str | None = None):
        self.place, self.fps, self.note = str(place), fps, note
        self._painter = Overlay([])
        self._stack = ExitStack()
        self._video: VideoWriter | LiveVideo | None = None
        self._scaler, self._size = VideoReformatter(), (0, 0)

    def write(self, result: LiveMasks) -> None:
        """Draw and show one, at its time."""
        if tuple(self._painter.sentences) != result.sentences:
            self._painter = Overlay(list(result.sentences), self.note)
        drawn = self._painter.draw(result.image, result.masks)
        if self._video is None:
            self._size = drawn.shape[:2]
            self._video = self._stack.enter_context(self._opened())
        self._video.write(self._fitted(drawn), result.time)

    def _opened(self) -> AbstractContextManager[VideoWriter | LiveVideo]:
        if live_address(self.place) or self.place.endswith(HLS):
            return LiveVideo(self.place, self._size, self.fps)
        return VideoWriter(self.place, self._size, self.fps)

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == self._size:
            return image
        height, width = self._size
        return self._scaler.reformat(av.VideoFrame.from_ndarray(image, "rgb24"), width, height).to_ndarray()

    def __enter__(self) -> OverlaySink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


class LiveVideo:
    """RGB frames as H.264 without delay, as MPEG-TS over UDP or as HLS. A context manager. As VideoWriter has it."""

    def __init__(self, place: str, size: tuple[int, int], fps: float):
        self.place = place
        self.height, self.width = even(size)
        self.fps = Fraction(fps).limit_denominator(1000)
        self._to_yuv, self._last = ToYuv(), -1

    def __enter__(self) -> LiveVideo:
        hls = self.place.endswith(HLS)
        try:
            if hls:
                Path(self.place).parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(
                self.place, "w", format="hls" if hls else "mpegts", options=SEGMENTS if hls else {"flush_packets": "1"}
            )
            self._stream = self._container.add_stream("libx264", rate=self.fps, options=LIVE_H264)
        except (av.error.FFmpegError, OSError) as error:
            raise self._problem(error) from error
        set_up(self._stream, (self.height, self.width))
        return self

    def write(self, image: np.ndarray, time: float) -> None:
        """Show a frame, uint8 [H,W,3], at `time`, in seconds from the stream's start. VideoError where it fails."""
        cut = np.ascontiguousarray(image[: self.height, : self.width])
        self._last = max(round(time * CLOCK), self._last + 1)
        try:
            self._container.mux(self._stream.encode(self._to_yuv(cut, self._last)))
        except (av.error.FFmpegError, OSError) as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> VideoError:
        address = live_address(self.place)
        shown, why = (address.shown, address.hide(reason(error))) if address else (self.place, reason(error))
        return VideoError(f"{shown}: cannot be written ({why}); check the address, or the folder and disk")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
            self._container.close()
        except (av.error.FFmpegError, OSError) as failed:
            if kind is None:
                raise self._problem(failed) from failed
