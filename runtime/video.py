"""Video in and out: files, folders of frames and arrays become frames; frames become an H.264 file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from cstm.errors import MissingDependencyError, VideoError
from cstm.files import atomic_path

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}  # FFmpeg draws text files as video
DEFAULT_FPS = 25.0
# Containers may declare a few frames that edit lists or a dropped tail take away; more than this share is a cut file.
LOST_SHARE = 0.02


@dataclass(frozen=True)
class Frame:
    """index: from 0. time: seconds since the first frame. image: RGB uint8 [H,W,3]."""

    index: int
    time: float
    image: np.ndarray


class Video:
    """An open video: iterate once, close after. The first frame is read on opening, so that a video with none fails.

    size: (height, width) in pixels. fps: average frames a second. count: declared number of frames, or None.
    VideoError while iterating: a frame of another size, or, after every readable frame, that the video breaks off.
    """

    def __init__(self, name: str, frames: Iterator[Frame], fps: float, count: int | None = None, close=None):
        self.name, self.fps, self.count = name, fps, count
        self._close = close
        try:
            first = next(frames, None)
            if first is None:
                raise VideoError(f"{name}: holds no frames; check the file, or re-encode it")
        except BaseException:
            self.close()
            raise
        self.size = first.image.shape[:2]
        self._frames = chain([first], frames)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if frame.image.shape[:2] != self.size:
                found, first = (f"{w}x{h}" for h, w in (frame.image.shape[:2], self.size))
                raise VideoError(f"{self.name}: frame {frame.index} is {found}, the first {first}; make them one size")
            yield frame

    def close(self) -> None:
        """Release the file. May be called again."""
        if self._close:
            self._close()
            self._close = None

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def open_video(source: str | Path | Iterable[np.ndarray], fps: float | None = None) -> Video:
    """Open a video file, a folder of images (in natural order of names), or an iterable of RGB uint8 arrays [H,W,3].

    fps: frames a second of a folder or of arrays, 25 by default; a file knows its own.
    VideoError when there is no such file, it is no video, or it holds no frames.
    """
    if not isinstance(source, (str, Path)):
        return Video("the given frames", _from_arrays(source, fps or DEFAULT_FPS), fps or DEFAULT_FPS)
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, fps or DEFAULT_FPS)
    if not path.is_file():
        raise VideoError(f"{path}: no such file; name a video file or a folder of frames")
    return _open_file(path)


def _open_file(path: Path) -> Video:
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"{path}: not a video that FFmpeg can read ({_reason(error)}); re-encode it") from error
    if not container.streams.video or container.format.name in TEXT_FORMATS:
        container.close()
        raise VideoError(f"{path}: not a video, it holds no video stream; name another file")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    fps = float(stream.average_rate or DEFAULT_FPS)
    count = stream.frames or None
    return Video(str(path), _from_container(path, container, fps, count), fps, count, container.close)


def _from_container(path: Path, container, fps: float, count: int | None) -> Iterator[Frame]:
    index, start, broken = 0, None, None
    decoded = container.decode(video=0)
    while True:
        try:
            frame = next(decoded, None)
        except av.error.FFmpegError as error:
            broken = _reason(error)
            break
        if frame is None:
            break
        start = frame.time if start is None else start
        time = index / fps if frame.time is None else frame.time - start
        yield Frame(index, time, _upright(frame))
        index += 1
    cut = count is not None and count - index > max(2, LOST_SHARE * count)
    if index and (broken or cut):
        place = f"after frame {index}" + (f" of {count}" if count else "") + f" ({index / fps:.1f} s)"
        reason = f": {broken}" if broken else ""
        raise VideoError(f"{path}: breaks off {place}{reason}; the frames before were read, copy or re-encode the file")


def _upright(frame) -> np.ndarray:
    """RGB [H,W,3], turned as the file says it is to be shown (phones store videos lying down)."""
    image = frame.to_ndarray(format="rgb24")
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def _open_folder(path: Path, fps: float) -> Video:
    files = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGES), key=_natural)
    if not files:
        raise VideoError(f"{path}: holds no images ({', '.join(sorted(IMAGES))}); name a folder of frames")
    return Video(str(path), _from_images(files, fps), fps, len(files))


def _from_images(files: list[Path], fps: float) -> Iterator[Frame]:
    from PIL import Image, UnidentifiedImageError

    for index, file in enumerate(files):
        try:
            with Image.open(file) as image:
                yield Frame(index, index / fps, np.asarray(image.convert("RGB")))
        except (UnidentifiedImageError, OSError) as error:
            raise VideoError(f"{file}: not an image that can be read; remove it or save it again") from error


def _from_arrays(arrays: Iterable[np.ndarray], fps: float) -> Iterator[Frame]:
    for index, array in enumerate(arrays):
        shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
        if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not all(shape):
            raise VideoError(f"frame {index} is {dtype} {shape}; give RGB uint8 arrays of shape [H,W,3]")
        yield Frame(index, index / fps, np.asarray(array))


class VideoWriter:
    """Writes RGB frames to an H.264 mp4 file, which appears when the block ends and not at all when it fails.

    size: (height, width) in pixels; odd sides lose their last row or column, as 4:2:0 video needs even ones.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float):
        if "libx264" not in av.codecs_available:
            raise MissingDependencyError("this PyAV lacks libx264; pip install av from a wheel")
        self.path, self.fps = Path(path), Fraction(fps).limit_denominator(10_000)
        self.height, self.width = (side - side % 2 or 2 for side in size)

    def __enter__(self) -> VideoWriter:
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic_path(self.path))
        self._container = av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=self.fps, options={"crf": "20"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = self.width, self.height, "yuv420p"
        return self

    def write(self, image: np.ndarray) -> None:
        """Append a frame, RGB uint8 [H,W,3]."""
        even = np.ascontiguousarray(image[: self.height, : self.width])
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
            self._stack.__exit__(kind, error, trace)


def _natural(path: Path) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
